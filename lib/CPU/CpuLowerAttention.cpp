//===- CpuLowerAttention.cpp - attention, cache_update to vector code -----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A work item is the queries that share one key/value head: a run of rows of
// one sequence, times the query heads of that head. It walks blocks of keys in
// ascending order, with a running maximum m, sum l and output o per query q:
//
//   for block:
//     s[q][j] = q . k[j]                     tiles of queries x kKeyTile keys
//     s[q][j] = -inf where q does not see j
//     m' = max(m, max_j s[q][j]);  p[q][j] = exp(s[q][j] - m')
//     c = exp(m - m');  l[q] = c l[q] + p[q];  m = m'      lanes of l: j
//     o[q] = c o[q] + sum_j p[q][j] v[j]     tiles of queries x registers of D
//   o[q] /= sum of the lanes of l[q]
//
// The bits of a query do not depend on its item. Each score and each element of
// o is one accumulator, in every tile; lanes of l are positions modulo
// kBlockKeys; and a block in which q sees nothing multiplies by exp(0) = 1, or
// zeros by 0 before the first block that it sees.
//
// Keys and values that q does not see may be NaN: scores are selected after
// they are computed, and the last sum is over visible j only, since 0 * NaN is
// NaN. So tiles of several queries need queries that see the same part of the
// block; at the edges of what rows see, queries go alone. Keys past the end are
// never loaded: the last one is, again.
//
//===----------------------------------------------------------------------===//

#include "Levels.h"
#include "Loops.h"
#include "RowRuns.h"

#include "moe/CPU/Passes.h"

#include <limits>
#include <numeric>

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWERATTENTIONPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-attention"

using namespace mlir;
using namespace mlir::moe;

/// Keys of a block; blocks begin at the multiples.
static constexpr int64_t kBlockKeys = 32;

/// Keys whose scores are computed together: the smallest vector of x86.
static constexpr int64_t kKeyTile = 4;

/// Queries of a work item, unless one row has more. Enough to reuse a block of
/// keys and values from L1, few enough that all fit there.
static constexpr int64_t kItemQueries = 16;

/// Keys that an item is taken to see, when it is decided whether items are
/// worth a thread.
static constexpr int64_t kAssumedKeys = 256;

//===----------------------------------------------------------------------===//
// Vectors
//===----------------------------------------------------------------------===//

static VectorType f32s(ImplicitLocOpBuilder &b, int64_t lanes) {
  return VectorType::get({lanes}, b.getF32Type());
}

static Value zeros(ImplicitLocOpBuilder &b, int64_t lanes) {
  return arith::ConstantOp::create(b, b.getZeroAttr(f32s(b, lanes)));
}

static Value splat(ImplicitLocOpBuilder &b, Value scalar, int64_t lanes) {
  auto type = VectorType::get({lanes}, scalar.getType());
  return vector::BroadcastOp::create(b, type, scalar);
}

/// `x * y + z`, rounded once.
static Value fma(ImplicitLocOpBuilder &b, Value x, Value y, Value z) {
  return math::FmaOp::create(b, x, y, z);
}

/// True for the first `count` lanes.
static Value firstLanes(ImplicitLocOpBuilder &b, int64_t lanes, int64_t count) {
  SmallVector<bool> bits(lanes, false);
  std::fill_n(bits.begin(), count, true);
  auto type = VectorType::get({lanes}, b.getI1Type());
  return arith::ConstantOp::create(b, DenseElementsAttr::get(type, bits));
}

/// `count` elements; the other lanes are 0 and not read.
static Value loadLanes(ImplicitLocOpBuilder &b, int64_t lanes, Value buffer,
                       ValueRange at, int64_t count) {
  if (count == lanes)
    return vector::LoadOp::create(b, f32s(b, lanes), buffer, at);
  return vector::MaskedLoadOp::create(b, f32s(b, lanes), buffer, at,
                                      firstLanes(b, lanes, count),
                                      zeros(b, lanes));
}

/// The first `count` lanes; no other element is written.
static void storeLanes(ImplicitLocOpBuilder &b, Value vector, Value buffer,
                       ValueRange at, int64_t count) {
  int64_t lanes = cast<VectorType>(vector.getType()).getNumElements();
  if (count == lanes)
    vector::StoreOp::create(b, vector, buffer, at);
  else
    vector::MaskedStoreOp::create(b, buffer, at, firstLanes(b, lanes, count),
                                  vector);
}

/// Calls `body(b, d, count)` for the registers of `size` elements, where
/// `count` are filled.
static void forEachRegister(
    ImplicitLocOpBuilder &b, int64_t lanes, int64_t size,
    function_ref<void(ImplicitLocOpBuilder &b, Value d, int64_t count)> body) {
  int64_t whole = size / lanes * lanes;
  if (whole)
    forEach(b, constantIndex(b, 0), constantIndex(b, whole), lanes,
            [&](ImplicitLocOpBuilder &b, Value d) { body(b, d, lanes); });
  if (whole != size)
    body(b, constantIndex(b, whole), size - whole);
}

/// Adds the upper half to the lower half until `lanes` lanes are left.
static Value foldTo(ImplicitLocOpBuilder &b, int64_t lanes, Value vector) {
  int64_t size = cast<VectorType>(vector.getType()).getNumElements();
  for (; size > lanes; size /= 2) {
    SmallVector<int64_t> low(size / 2);
    std::iota(low.begin(), low.end(), 0);
    SmallVector<int64_t> high =
        llvm::map_to_vector(low, [&](int64_t lane) { return lane + size / 2; });
    vector = arith::AddFOp::create(
        b, vector::ShuffleOp::create(b, vector, vector, low),
        vector::ShuffleOp::create(b, vector, vector, high));
  }
  return vector;
}

/// Of each 128 bits of `x` and `y`: x0+x2, y0+y2, x1+x3, y1+y3; with `pairs`,
/// x0+x2, x1+x3, y0+y2, y1+y3. (unpcklps, unpckhps; unpcklpd, unpckhpd.)
static Value addUnpacked(ImplicitLocOpBuilder &b, Value x, Value y,
                         bool pairs) {
  int64_t lanes = cast<VectorType>(x.getType()).getNumElements();
  SmallVector<int64_t> low, high;
  for (int64_t group = 0; group < lanes; group += 4)
    for (int64_t lane = 0; lane < 4; ++lane) {
      int64_t side = pairs ? lane / 2 : lane % 2;
      int64_t element = pairs ? lane % 2 : lane / 2;
      low.push_back(side * lanes + group + element);
      high.push_back(low.back() + 2);
    }
  return arith::AddFOp::create(b, vector::ShuffleOp::create(b, x, y, low),
                               vector::ShuffleOp::create(b, x, y, high));
}

/// The sums of the lanes of four vectors, as one vector of 4 lanes.
static Value sumEach(ImplicitLocOpBuilder &b, ValueRange vectors) {
  Value first = addUnpacked(b, vectors[0], vectors[1], /*pairs=*/false);
  Value second = addUnpacked(b, vectors[2], vectors[3], /*pairs=*/false);
  return foldTo(b, kKeyTile, addUnpacked(b, first, second, /*pairs=*/true));
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

namespace {

/// Positions `begin..end`.
struct Span {
  Value begin, end;
};

/// Emits a work item: rows of `run`, times the query heads of `head`.
class ItemEmitter {
public:
  /// Rows of an item.
  static int64_t maxRows(AttentionOp op) {
    return std::max<int64_t>(kItemQueries / headsPerKV(op), 1);
  }

  ItemEmitter(AttentionOp op, const Level &level)
      : op(op), level(level), lanes(level.lanes), group(headsPerKV(op)),
        size(op.getKCache().getType().getDimSize(4)),
        registers(llvm::divideCeil(size, lanes)) {}

  void emit(ImplicitLocOpBuilder &b, RowRun run, Value head);

private:
  using TileBody =
      function_ref<void(ImplicitLocOpBuilder &b, Value query, int64_t tile)>;

  static int64_t headsPerKV(AttentionOp op) {
    return cast<MemRefType>(op.getQ().getType()).getDimSize(1) /
           op.getKCache().getType().getDimSize(3);
  }
  Value scratch(ImplicitLocOpBuilder &b, ArrayRef<int64_t> shape);
  Span visible(ImplicitLocOpBuilder &b, Value row);
  Span visibleIn(ImplicitLocOpBuilder &b, Value block, Value row);
  void forEachTile(ImplicitLocOpBuilder &b, TileBody body);
  void begin(ImplicitLocOpBuilder &b);
  void score(ImplicitLocOpBuilder &b, Value query, int64_t tile, Value block,
             Value column);
  void weigh(ImplicitLocOpBuilder &b, Value query, Value block);
  void addValues(ImplicitLocOpBuilder &b, Value query, int64_t tile,
                 Value block, Span keys);
  void addValues(ImplicitLocOpBuilder &b, Value block);
  void finish(ImplicitLocOpBuilder &b);

  AttentionOp op;
  const Level &level;
  int64_t lanes, group, size, registers;

  RowRun run;
  Value head, numQueries;
  /// Per query: scaled elements, o, scores and then weights of the block, m, l,
  /// c.
  Value queries, outputs, weights, maxima, sums, factors;
};

} // namespace

Value ItemEmitter::scratch(ImplicitLocOpBuilder &b, ArrayRef<int64_t> shape) {
  return memref::AllocaOp::create(b, MemRefType::get(shape, b.getF32Type()),
                                  b.getI64IntegerAttr(64));
}

/// What row `row` of the run sees.
Span ItemEmitter::visible(ImplicitLocOpBuilder &b, Value row) {
  Value end = add(b, add(b, run.position, row), 1);
  Value begin = constantIndex(b, 0);
  if (op.getWindow()) {
    Value window = constantIndex(b, *op.getWindow());
    begin = sub(b, end, min(b, end, window));
  }
  return {begin, end};
}

/// The same within a block; not in order if the row sees nothing of it.
Span ItemEmitter::visibleIn(ImplicitLocOpBuilder &b, Value block, Value row) {
  Span all = visible(b, row);
  return {b.createOrFold<arith::MaxUIOp>(all.begin, block),
          min(b, all.end, add(b, block, kBlockKeys))};
}

/// Calls `body` for all queries, in tiles of as many as the registers allow and
/// then one by one.
void ItemEmitter::forEachTile(ImplicitLocOpBuilder &b, TileBody body) {
  int64_t tile = level.registers / 8;
  Value whole = constantIndex(b, 0);
  if (group * maxRows(op) >= tile) {
    whole = mul(b, div(b, numQueries, tile), tile);
    forEach(
        b, constantIndex(b, 0), whole, tile,
        [&](ImplicitLocOpBuilder &b, Value query) { body(b, query, tile); });
  }
  if (group % tile != 0)
    forEach(b, whole, numQueries, 1,
            [&](ImplicitLocOpBuilder &b, Value query) { body(b, query, 1); });
}

/// Loads the queries.
void ItemEmitter::begin(ImplicitLocOpBuilder &b) {
  int64_t maxQueries = group * maxRows(op);
  queries = scratch(b, {maxQueries, registers * lanes});
  outputs = scratch(b, {maxQueries, registers * lanes});
  weights = scratch(b, {maxQueries, kBlockKeys});
  sums = scratch(b, {maxQueries, kBlockKeys});
  maxima = scratch(b, maxQueries);
  factors = scratch(b, maxQueries);

  Value scale = splat(b, constantF32(b, op.getScale().convertToFloat()), lanes);
  Value lowest = constantF32(b, -std::numeric_limits<float>::infinity());
  forEach(b, numQueries, [&](ImplicitLocOpBuilder &b, Value query) {
    Value row = add(b, run.first, div(b, query, group));
    Value queryHead = add(b, mul(b, head, group), rem(b, query, group));
    forEachRegister(
        b, lanes, size, [&](ImplicitLocOpBuilder &b, Value d, int64_t count) {
          Value q = loadLanes(b, lanes, op.getQ(), {row, queryHead, d}, count);
          vector::StoreOp::create(b, arith::MulFOp::create(b, q, scale),
                                  queries, ValueRange{query, d});
          vector::StoreOp::create(b, zeros(b, lanes), outputs,
                                  ValueRange{query, d});
        });
    vector::StoreOp::create(b, zeros(b, kBlockKeys), sums,
                            ValueRange{query, constantIndex(b, 0)});
    store(b, lowest, maxima, query);
  });
}

/// weights[q, column + i] = q . k[block + column + i], for kKeyTile keys.
void ItemEmitter::score(ImplicitLocOpBuilder &b, Value query, int64_t tile,
                        Value block, Value column) {
  SmallVector<Value> positions;
  Value last = add(b, run.position, sub(b, run.count, constantIndex(b, 1)));
  for (int64_t i = 0; i < kKeyTile; ++i)
    positions.push_back(min(b, add(b, add(b, block, column), i), last));
  auto step = [&](ImplicitLocOpBuilder &b, Value d, int64_t count,
                  ValueRange sums) {
    SmallVector<Value> keys, next;
    for (Value position : positions)
      keys.push_back(loadLanes(b, lanes, op.getKCache(),
                               {op.getLayer(), run.slot, position, head, d},
                               count));
    for (int64_t i = 0; i < tile; ++i) {
      Value q = vector::LoadOp::create(b, f32s(b, lanes), queries,
                                       ValueRange{add(b, query, i), d});
      for (int64_t k = 0; k < kKeyTile; ++k)
        next.push_back(fma(b, q, keys[k], sums[i * kKeyTile + k]));
    }
    return next;
  };

  int64_t whole = size / lanes;
  SmallVector<Value> products(tile * kKeyTile, zeros(b, lanes));
  if (whole)
    products =
        forLoop(b, constantIndex(b, 0), constantIndex(b, whole), products,
                [&](ImplicitLocOpBuilder &b, Value i, ValueRange sums) {
                  return step(b, mul(b, i, lanes), lanes, sums);
                })
            .getResults();
  if (size % lanes)
    products = step(b, constantIndex(b, whole * lanes), size % lanes, products);
  for (int64_t i = 0; i < tile; ++i) {
    Value four = sumEach(b, ArrayRef(products).slice(i * kKeyTile, kKeyTile));
    vector::StoreOp::create(b, four, weights,
                            ValueRange{add(b, query, i), column});
  }
}

/// Makes weights of a query's scores and updates m, l and c.
void ItemEmitter::weigh(ImplicitLocOpBuilder &b, Value query, Value block) {
  Value zero = constantIndex(b, 0), zeroF32 = constantF32(b, 0);
  Value lowest = constantF32(b, -std::numeric_limits<float>::infinity());
  Span seen = visible(b, div(b, query, group));
  auto i32s = VectorType::get({kBlockKeys}, b.getI32Type());
  auto wide = [&](Value scalar) { return splat(b, scalar, kBlockKeys); };
  auto compare = [&](arith::CmpIPredicate predicate, Value x, Value y) {
    return arith::CmpIOp::create(b, predicate, x, y);
  };

  SmallVector<int32_t> offsets(kBlockKeys);
  std::iota(offsets.begin(), offsets.end(), 0);
  Value positions = arith::AddIOp::create(
      b, wide(toI32(b, block)),
      arith::ConstantOp::create(
          b, DenseElementsAttr::get(i32s, ArrayRef<int32_t>(offsets))));
  Value sees =
      compare(arith::CmpIPredicate::slt, positions, wide(toI32(b, seen.end)));
  if (op.getWindow()) {
    Value begun = compare(arith::CmpIPredicate::sge, positions,
                          wide(toI32(b, seen.begin)));
    sees = arith::AndIOp::create(b, sees, begun);
  }
  Value scores = vector::LoadOp::create(b, f32s(b, kBlockKeys), weights,
                                        ValueRange{query, zero});
  scores = arith::SelectOp::create(b, sees, scores, wide(lowest));

  Value old = load(b, maxima, query);
  Value max = arith::MaximumFOp::create(
      b, old,
      vector::ReductionOp::create(b, vector::CombiningKind::MAXIMUMF, scores));
  store(b, max, maxima, query);
  // -inf - -inf is NaN; any finite number in its place yields weights 0.
  Value none = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, max, lowest);
  max = arith::SelectOp::create(b, none, zeroF32, max);
  Value factor = math::ExpOp::create(b, arith::SubFOp::create(b, old, max));
  Value p = math::ExpOp::create(b, arith::SubFOp::create(b, scores, wide(max)));
  Value sum = vector::LoadOp::create(b, f32s(b, kBlockKeys), sums,
                                     ValueRange{query, zero});
  vector::StoreOp::create(b, fma(b, wide(factor), sum, p), sums,
                          ValueRange{query, zero});
  vector::StoreOp::create(b, p, weights, ValueRange{query, zero});
  store(b, factor, factors, query);
}

/// o[q] = c o[q] + sum p[q][j] v[j] for the keys j, which all queries of the
/// tile see.
void ItemEmitter::addValues(ImplicitLocOpBuilder &b, Value query, int64_t tile,
                            Value block, Span keys) {
  int64_t together = std::min<int64_t>(level.registers / 2 / tile, 8);
  for (int64_t first = 0; first < registers; first += together) {
    int64_t count = std::min(together, registers - first);
    auto at = [&](int64_t i) { return constantIndex(b, (first + i) * lanes); };
    SmallVector<Value> products;
    for (int64_t i = 0; i < tile; ++i) {
      Value row = add(b, query, i);
      Value factor = splat(b, load(b, factors, row), lanes);
      for (int64_t r = 0; r < count; ++r)
        products.push_back(arith::MulFOp::create(
            b, factor,
            vector::LoadOp::create(b, f32s(b, lanes), outputs,
                                   ValueRange{row, at(r)})));
    }
    auto loop =
        forLoop(b, keys.begin, keys.end, products,
                [&](ImplicitLocOpBuilder &b, Value j, ValueRange sums) {
                  SmallVector<Value> values, next;
                  for (int64_t r = 0; r < count; ++r)
                    values.push_back(
                        loadLanes(b, lanes, op.getVCache(),
                                  {op.getLayer(), run.slot, j, head, at(r)},
                                  std::min(lanes, size - (first + r) * lanes)));
                  Value column = sub(b, j, block);
                  for (int64_t i = 0; i < tile; ++i) {
                    Value p = splat(
                        b, load(b, weights, {add(b, query, i), column}), lanes);
                    for (int64_t r = 0; r < count; ++r)
                      next.push_back(fma(b, p, values[r], sums[i * count + r]));
                  }
                  return next;
                });
    for (int64_t i = 0; i < tile; ++i)
      for (int64_t r = 0; r < count; ++r)
        vector::StoreOp::create(b, loop.getResult(i * count + r), outputs,
                                ValueRange{add(b, query, i), at(r)});
  }
}

/// The same for all queries.
void ItemEmitter::addValues(ImplicitLocOpBuilder &b, Value block) {
  Span first = visibleIn(b, block, constantIndex(b, 0));
  Span last = visibleIn(b, block, sub(b, run.count, constantIndex(b, 1)));
  auto equal = [&](Value x, Value y) {
    return b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::eq, x, y);
  };
  Value alike = b.createOrFold<arith::AndIOp>(equal(first.begin, last.begin),
                                              equal(first.end, last.end));
  branch(
      b, alike,
      [&](ImplicitLocOpBuilder &b) {
        forEachTile(b, [&](ImplicitLocOpBuilder &b, Value query, int64_t tile) {
          addValues(b, query, tile, block, first);
        });
      },
      [&](ImplicitLocOpBuilder &b) {
        forEach(b, numQueries, [&](ImplicitLocOpBuilder &b, Value query) {
          Span keys = visibleIn(b, block, div(b, query, group));
          addValues(b, query, 1, block, keys);
        });
      });
}

/// Stores the outputs.
void ItemEmitter::finish(ImplicitLocOpBuilder &b) {
  forEach(b, numQueries, [&](ImplicitLocOpBuilder &b, Value query) {
    Value row = add(b, run.first, div(b, query, group));
    Value queryHead = add(b, mul(b, head, group), rem(b, query, group));
    Value sum = vector::LoadOp::create(b, f32s(b, kBlockKeys), sums,
                                       ValueRange{query, constantIndex(b, 0)});
    sum = vector::ExtractOp::create(b, foldTo(b, 1, sum), 0);
    forEachRegister(
        b, lanes, size, [&](ImplicitLocOpBuilder &b, Value d, int64_t count) {
          Value o = vector::LoadOp::create(b, f32s(b, lanes), outputs,
                                           ValueRange{query, d});
          o = arith::DivFOp::create(b, o, splat(b, sum, lanes));
          storeLanes(b, o, op.getInit(), {row, queryHead, d}, count);
        });
  });
}

void ItemEmitter::emit(ImplicitLocOpBuilder &b, RowRun itemRun,
                       Value itemHead) {
  run = itemRun;
  head = itemHead;
  numQueries = mul(b, run.count, group);
  begin(b);
  Value first = visible(b, constantIndex(b, 0)).begin;
  first = mul(b, div(b, first, kBlockKeys), kBlockKeys);
  Value end = add(b, run.position, run.count);
  forEach(b, first, end, kBlockKeys, [&](ImplicitLocOpBuilder &b, Value block) {
    Value columns = min(b, sub(b, end, block), kBlockKeys);
    forEachTile(b, [&](ImplicitLocOpBuilder &b, Value query, int64_t tile) {
      forEach(b, constantIndex(b, 0), columns, kKeyTile,
              [&](ImplicitLocOpBuilder &b, Value column) {
                score(b, query, tile, block, column);
              });
    });
    forEach(b, numQueries, [&](ImplicitLocOpBuilder &b, Value query) {
      weigh(b, query, block);
    });
    addValues(b, block);
  });
  finish(b);
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

/// Checks that vectors can be loaded from `buffer`.
static LogicalResult expectRows(Operation *op, Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  if (type.isLastDimUnitStride())
    return success();
  return op->emitOpError("expected a buffer whose last dimension has stride 1, "
                         "got ")
         << type;
}

static LogicalResult lower(AttentionOp op) {
  const Level *level = getLevel(op);
  if (!level)
    return failure();
  for (Value buffer : {op.getQ(), op.getInit(), Value(op.getKCache())})
    if (failed(expectRows(op, buffer)))
      return failure();
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  RowRuns runs(op, ItemEmitter::maxRows(op));
  Value count = runs.count(b);
  int64_t kv = op.getKCache().getType().getDimSize(3);
  int64_t size = op.getKCache().getType().getDimSize(4);
  forEachInParallel(
      b, mul(b, count, kv), kAssumedKeys * size,
      [&](ImplicitLocOpBuilder &b, Value i) {
        // Late rows see more: from both ends in turn, so that chunks of items
        // take equally long.
        Value number = rem(b, i, count), half = div(b, number, 2);
        Value fromEnd = sub(b, sub(b, count, constantIndex(b, 1)), half);
        Value even = lessEqual(b, rem(b, number, 2), 0);
        Value chosen = arith::SelectOp::create(b, even, half, fromEnd);
        ItemEmitter(op, *level).emit(b, runs.at(b, chosen), div(b, i, count));
      });
  op.erase();
  return success();
}

static LogicalResult lower(CacheUpdateOp op) {
  const Level *level = getLevel(op);
  if (!level || failed(expectRows(op, op.getRows())) ||
      failed(expectRows(op, op.getCache())))
    return failure();
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  ArrayRef<int64_t> shape = op.getCache().getType().getShape();
  RowRuns rows(op, /*length=*/1);
  Value count = rows.count(b);
  auto copy = [&](ImplicitLocOpBuilder &b, Value i) {
    RowRun row = rows.at(b, i);
    forEach(b, constantIndex(b, shape[3]),
            [&](ImplicitLocOpBuilder &b, Value head) {
              forEachRegister(
                  b, level->lanes, shape[4],
                  [&](ImplicitLocOpBuilder &b, Value d, int64_t count) {
                    Value values = loadLanes(b, level->lanes, op.getRows(),
                                             {row.first, head, d}, count);
                    storeLanes(b, values, op.getCache(),
                               {op.getLayer(), row.slot, row.position, head, d},
                               count);
                  });
            });
  };
  forEachInParallel(b, count, 4 * shape[3] * shape[4], copy);
  op.erase();
  return success();
}

namespace {

struct CpuLowerAttentionPass final
    : moe::impl::CpuLowerAttentionPassBase<CpuLowerAttentionPass> {
  void runOnOperation() override {
    WalkResult walk = getOperation()->walk([](Operation *op) -> WalkResult {
      if (auto attention = dyn_cast<AttentionOp>(op))
        if (!attention.getResult())
          return lower(attention);
      if (auto update = dyn_cast<CacheUpdateOp>(op))
        return lower(update);
      return success();
    });
    if (walk.wasInterrupted())
      return signalPassFailure();
  }
};

} // namespace
