//===- Products.h - Products of rows with packed weights --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The rows of a group (an expert, or all rows of a dense projection) are cut
// into *chunks*. One work item is a chunk and some panels of the group's
// weights, so that few rows and one hot expert alike use all cores. An item
// owns its outputs with the whole range of k: no bit depends on how the work
// was cut.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_PRODUCTS_H
#define MOE_LIB_CPU_PRODUCTS_H

#include "TargetModel.h"

#include <functional>

namespace mlir::moe {

/// Rows `first..first+count` of `group`, in the order of the groups, and the
/// thread that works on them. A dense product has no groups.
struct RowChunk {
  Value group, first, count, thread;
};

/// All rows of a product, in chunks.
class RowChunks {
public:
  /// One group of `numRows` rows.
  static RowChunks dense(ImplicitLocOpBuilder &b, Value numRows,
                         const Blocking &blocking);

  /// `groups` groups, rows `offsets[g]..offsets[g+1]` each, at most `maxRows`
  /// together.
  static RowChunks grouped(ImplicitLocOpBuilder &b, Value offsets,
                           int64_t groups, Value maxRows,
                           const Blocking &blocking);

  /// Chunk `i`, as work of `thread`.
  RowChunk at(ImplicitLocOpBuilder &b, Value i, Value thread) const;

  bool isDense() const { return !list; }
  Value getCount() const { return count; }
  const Blocking &getBlocking() const { return blocking; }

  /// A bound on their number that follows from the extents of buffers.
  Value getMaxCount() const { return maxCount; }

  /// The rows of a chunk, at most.
  Value getMaxRows(ImplicitLocOpBuilder &b) const;

private:
  /// The number of chunks, and bounds on it and on that of rows.
  Value count, maxCount, numRows;
  Blocking blocking;
  /// Of a grouped product: group, first and count of each chunk.
  Value list;
};

/// The products of a chunk's rows with a panel: row `i` is
/// `sums[begin + i * 32]` and what follows.
struct PanelSums {
  RowChunk chunk;
  Value panel;
  Value sums, begin;
};

/// What is multiplied: row `source(chunk, i)` of `rows` as row `i` of a chunk,
/// with packed weights `[panels, ...]`, or `[groups, panels, ...]` of a grouped
/// product.
struct Product {
  Value rows, weights;
  PackFormat format;
  Compute compute;
  std::function<Value(ImplicitLocOpBuilder &b, const RowChunk &chunk, Value i)>
      source;
  /// If not 0, `rows` are bytes: packed rows of so many elements. Those of a
  /// chunk follow one another from the one on that `source` names as the first.
  int64_t packedK = 0;
};

/// Fails with an error on `op` if `level` has no kernels for rows of this type.
LogicalResult expectKernel(Operation *op, const Level &level, Compute compute);

/// Multiplies in parallel and hands each panel of each chunk to `consume`.
void multiply(
    ImplicitLocOpBuilder &b, const Level &level, const RowChunks &chunks,
    const Product &product,
    function_ref<void(ImplicitLocOpBuilder &b, const PanelSums &sums)> consume);

/// How the product of rows of `k` elements with all of `weights` is cut.
Blocking getBlocking(const Target &target, const Level &level,
                     PackFormat format, Compute compute, int64_t k,
                     MemRefType weights);

/// Whether `numRows` rows make so many and so long chunks that threads had
/// better take whole ones.
Value hasManyChunks(ImplicitLocOpBuilder &b, const RowChunks &chunks,
                    Value numRows);

/// A product, and what to do with the sums of a panel.
struct Stage {
  Product product;
  std::function<void(ImplicitLocOpBuilder &b, const PanelSums &sums)> consume;
};

/// Multiplies in parallel with `first`, what was made of that with `second`,
/// and calls `last` on `0..lastCount`, in one list of work. With `whole`
/// chunks, a thread does both products of a chunk, which thus stays in its
/// cache. Otherwise the items of `second` come after those of `first`, and wait
/// for those of their chunk only. The items of `last` wait for all others.
void multiplyBoth(ImplicitLocOpBuilder &b, const Level &level,
                  const RowChunks &chunks, Value whole, const Stage &first,
                  const Stage &second, Value lastCount,
                  function_ref<void(ImplicitLocOpBuilder &b, Value i)> last);

/// Calls `body` for each row of the chunk, with its registers of columns.
void forEachRow(
    ImplicitLocOpBuilder &b, const Level &level, const PanelSums &sums,
    function_ref<void(ImplicitLocOpBuilder &b, Value i, ValueRange columns)>
        body);

/// Writes registers of columns from `column` on to a row, as far as it goes.
void storeColumns(ImplicitLocOpBuilder &b, ValueRange columns, Value rows,
                  Value row, Value column);

/// Whether rows of a buffer that is aligned to vectors all are.
bool canStreamColumns(Value rows);

/// The same past the caches, for rows that are read much later. Who lets others
/// read them puts a fence between.
void streamColumns(ImplicitLocOpBuilder &b, ValueRange columns, Value rows,
                   Value row, Value column);

} // namespace mlir::moe

#endif // MOE_LIB_CPU_PRODUCTS_H
