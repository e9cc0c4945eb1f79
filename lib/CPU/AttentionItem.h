//===- AttentionItem.h - A work item of attention ---------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A work item is queries that share one key/value head: a run of rows of one
// sequence, times query heads of that head; all of them, or a part where they
// are many. It walks blocks of keys in ascending order, with a running maximum
// m, sum l and output o per query q:
//
//   m = -inf, l = 0, or with a sink m = sink, l = 1 in lane 0;  o = 0
//   for block:
//     s[q][j] = q . k[j]                     tiles of queries x kKeyTile keys
//     s[q][j] += bias[j - position of q]
//     s[q][j] = softcap tanh(s[q][j] / softcap)
//     s[q][j] = -inf where q does not see j
//     m' = max(m, max_j s[q][j]);  p[q][j] = exp(s[q][j] - m')
//     c = exp(m - m');  l[q] = c l[q] + p[q];  m = m'      lanes of l: j
//     o[q] = c o[q] + sum_j p[q][j] v[j]     tiles of queries x registers of D
//   o[q] /= sum of the lanes of l[q]
//
// The bits of a query do not depend on its item. Each score and each element of
// o is one accumulator, in every tile; lanes of l are positions modulo
// kBlockKeys; and a block in which q sees nothing multiplies by exp(0) = 1, or
// zeros by 0 before the first block that it sees. So blocks that no query of
// the item sees are not walked.
//
// While tiles work on a block, each prefetches its share of the next one.
//
// Keys and values that q does not see may be NaN: scores are selected after
// they are computed, and the last sum is over visible j only, since 0 * NaN is
// NaN. So tiles of several queries need queries that see the same part of the
// block; at the edges of what rows see, queries go alone. Keys past the end are
// never loaded: the last one is, again.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_ATTENTIONITEM_H
#define MOE_LIB_CPU_ATTENTIONITEM_H

#include "Levels.h"
#include "RowRuns.h"

#include "moe/IR/MoE.h"

namespace mlir::moe {

/// Positions `begin..end`.
struct Span {
  Value begin, end;
};

/// Emits a work item: rows of a run, times some query heads of one key/value
/// head.
class AttentionItem {
public:
  /// Rows of an item.
  static int64_t maxRows(AttentionOp op);

  /// Items of a run.
  static int64_t itemsPerRun(AttentionOp op);

  AttentionItem(AttentionOp op, const Level &level);

  /// Item `number` of `run`.
  void emit(ImplicitLocOpBuilder &b, RowRun run, Value number);

private:
  using TileBody =
      function_ref<void(ImplicitLocOpBuilder &b, Value query, int64_t tile)>;

  Value scratch(ImplicitLocOpBuilder &b, ArrayRef<int64_t> shape);
  Value rowOf(ImplicitLocOpBuilder &b, Value query);
  Value headOf(ImplicitLocOpBuilder &b, Value query);
  Value positionOf(ImplicitLocOpBuilder &b, Value row);
  Span visible(ImplicitLocOpBuilder &b, Value row);
  Span visibleIn(ImplicitLocOpBuilder &b, Value block, Value row);
  void forEachTile(ImplicitLocOpBuilder &b, TileBody body);
  void begin(ImplicitLocOpBuilder &b);
  void prefetch(ImplicitLocOpBuilder &b, Value cache, Value query, Value block,
                Value column, Value place, int64_t begin, int64_t end);
  void score(ImplicitLocOpBuilder &b, Value query, int64_t tile, Value block,
             Value column);
  Value biases(ImplicitLocOpBuilder &b, Value query, Value positions);
  void weigh(ImplicitLocOpBuilder &b, Value query, Value block);
  void addValues(ImplicitLocOpBuilder &b, Value query, int64_t tile,
                 Value block, Span keys);
  void addValues(ImplicitLocOpBuilder &b, Value block);
  void finish(ImplicitLocOpBuilder &b);

  AttentionOp op;
  const Level &level;
  /// Lanes of a register, query heads of a key/value head and of an item,
  /// elements of a head, the registers that they fill, and queries of a tile.
  int64_t lanes, group, heads, size, registers, tileQueries;

  RowRun run;
  /// The key/value head, the first query head, the number of queries, the end
  /// of what they see.
  Value kvHead, firstHead, numQueries, end;
  /// Per query: scaled elements, o, scores and then weights of the block, m, l,
  /// c.
  Value queries, outputs, weights, maxima, sums, factors;
};

} // namespace mlir::moe

#endif // MOE_LIB_CPU_ATTENTIONITEM_H
