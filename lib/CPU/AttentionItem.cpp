//===- AttentionItem.cpp - A work item of attention -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionItem.h"

#include "Loops.h"
#include "Vectors.h"

#include <limits>
#include <numeric>

using namespace mlir;
using namespace mlir::moe;

/// Keys of a block; blocks begin at the multiples.
static constexpr int64_t kBlockKeys = 32;

/// Keys whose scores are computed together: the smallest vector of x86.
static constexpr int64_t kKeyTile = 4;

/// Places of a block whose keys and values are prefetched in turns: memory
/// serves several pages faster than one.
static constexpr int64_t kPlaces = 4;

/// Elements of a cache line.
static constexpr int64_t kLine = 16;

/// Queries of a work item, at most. Enough to reuse a block of keys and values
/// from L1, few enough that all fit there and on a stack.
static constexpr int64_t kItemQueries = 16;

/// Query heads of a key/value head.
static int64_t headsPerKV(AttentionOp op) {
  return cast<MemRefType>(op.getQ().getType()).getDimSize(1) /
         op.getKCache().getType().getDimSize(2);
}

/// Items that share the query heads of one key/value head.
static int64_t parts(AttentionOp op) {
  return llvm::divideCeil(headsPerKV(op), kItemQueries);
}

int64_t AttentionItem::maxRows(AttentionOp op) {
  return std::max<int64_t>(kItemQueries / headsPerKV(op), 1);
}

int64_t AttentionItem::itemsPerRun(AttentionOp op) {
  return op.getKCache().getType().getDimSize(2) * parts(op);
}

AttentionItem::AttentionItem(AttentionOp op, const Level &level)
    : op(op), level(level), lanes(level.lanes), group(headsPerKV(op)),
      heads(llvm::divideCeil(group, parts(op))),
      size(op.getKCache().getType().getDimSize(4)),
      registers(llvm::divideCeil(size, lanes)),
      tileQueries(level.registers / 8) {}

Value AttentionItem::scratch(ImplicitLocOpBuilder &b, ArrayRef<int64_t> shape) {
  return memref::AllocaOp::create(b, MemRefType::get(shape, b.getF32Type()),
                                  b.getI64IntegerAttr(64));
}

/// The row of the run that a query belongs to.
Value AttentionItem::rowOf(ImplicitLocOpBuilder &b, Value query) {
  return div(b, query, heads);
}

Value AttentionItem::headOf(ImplicitLocOpBuilder &b, Value query) {
  return add(b, firstHead, rem(b, query, heads));
}

/// The position of row `row` of the run.
Value AttentionItem::positionOf(ImplicitLocOpBuilder &b, Value row) {
  return add(b, run.position, row);
}

/// What row `row` of the run sees.
Span AttentionItem::visible(ImplicitLocOpBuilder &b, Value row) {
  Value position = positionOf(b, row), next = add(b, position, 1);
  Value begin = constantIndex(b, 0);
  if (std::optional<uint64_t> chunk = op.getChunk())
    begin = mul(b, div(b, position, *chunk), *chunk);
  if (std::optional<uint64_t> window = op.getWindow())
    begin = max(b, begin, sub(b, next, min(b, next, *window)));
  if (Value lengths = op.getLengths())
    return {begin, toIndex(b, load(b, lengths, run.sequence))};
  return {begin, next};
}

/// The same within a block; not in order if the row sees nothing of it.
Span AttentionItem::visibleIn(ImplicitLocOpBuilder &b, Value block, Value row) {
  Span all = visible(b, row);
  return {max(b, all.begin, block), min(b, all.end, add(b, block, kBlockKeys))};
}

/// Calls `body` for all queries, in tiles of as many as the registers allow and
/// then one by one.
void AttentionItem::forEachTile(ImplicitLocOpBuilder &b, TileBody body) {
  Value whole = constantIndex(b, 0);
  if (heads * maxRows(op) >= tileQueries) {
    whole = mul(b, div(b, numQueries, tileQueries), tileQueries);
    forEach(b, constantIndex(b, 0), whole, tileQueries,
            [&](ImplicitLocOpBuilder &b, Value query) {
              body(b, query, tileQueries);
            });
  }
  if (group % tileQueries != 0 || heads % tileQueries != 0)
    forEach(b, whole, numQueries, 1,
            [&](ImplicitLocOpBuilder &b, Value query) { body(b, query, 1); });
}

/// Loads the queries, and begins their sums.
void AttentionItem::begin(ImplicitLocOpBuilder &b) {
  int64_t maxQueries = heads * maxRows(op);
  queries = scratch(b, {maxQueries, registers * lanes});
  outputs = scratch(b, {maxQueries, registers * lanes});
  weights = scratch(b, {maxQueries, kBlockKeys});
  sums = scratch(b, {maxQueries, kBlockKeys});
  maxima = scratch(b, maxQueries);
  factors = scratch(b, maxQueries);

  Value scale = splat(b, constantF32(b, op.getScale().convertToFloat()), lanes);
  forEach(b, numQueries, [&](ImplicitLocOpBuilder &b, Value query) {
    Value row = add(b, run.first, rowOf(b, query)),
          queryHead = headOf(b, query);
    forEachRegister(
        b, lanes, size, [&](ImplicitLocOpBuilder &b, Value d, int64_t count) {
          Value q = loadLanes(b, lanes, op.getQ(), {row, queryHead, d}, count);
          vector::StoreOp::create(b, arith::MulFOp::create(b, q, scale),
                                  queries, ValueRange{query, d});
          vector::StoreOp::create(b, zeros(b, lanes), outputs,
                                  ValueRange{query, d});
        });
    Value max = constantF32(b, -std::numeric_limits<float>::infinity());
    Value sum = zeros(b, kBlockKeys);
    if (Value sinks = op.getSinks()) {
      max = toF32(b, load(b, sinks, queryHead));
      sum = vector::InsertOp::create(b, constantF32(b, 1), sum, 0);
    }
    store(b, max, maxima, query);
    vector::StoreOp::create(b, sum, sums,
                            ValueRange{query, constantIndex(b, 0)});
  });
}

/// Prefetches elements `begin..end` of a key or value of the next block, while
/// a tile works on the `column` of `block`. Every place is one tile's share.
void AttentionItem::prefetch(ImplicitLocOpBuilder &b, Value cache, Value query,
                             Value block, Value column, Value place,
                             int64_t begin, int64_t end) {
  Value tiles = divUp(b, numQueries, constantIndex(b, tileQueries));
  Value share = div(b, mul(b, place, tiles), kPlaces);
  Value isShare = b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::eq, share,
                                                div(b, query, tileQueries));
  Value next = add(b, block, kBlockKeys);
  Value isSeen = less(b, next, this->end);
  branch(b, arith::AndIOp::create(b, isShare, isSeen),
         [&](ImplicitLocOpBuilder &b) {
           Value key = add(b, add(b, next, div(b, column, kPlaces)),
                           mul(b, place, kBlockKeys / kPlaces));
           for (int64_t d = begin; d < end; d += kLine)
             memref::PrefetchOp::create(
                 b, cache,
                 ValueRange{op.getLayer(), run.slot, kvHead, key,
                            constantIndex(b, d)},
                 /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
         });
}

/// weights[q, column + i] = q . k[block + column + i], for kKeyTile keys.
void AttentionItem::score(ImplicitLocOpBuilder &b, Value query, int64_t tile,
                          Value block, Value column) {
  SmallVector<Value> positions;
  Value last = sub(b, end, constantIndex(b, 1));
  for (int64_t i = 0; i < kKeyTile; ++i)
    positions.push_back(min(b, add(b, add(b, block, column), i), last));
  for (int64_t place = 0; place < kPlaces; ++place)
    prefetch(b, op.getKCache(), query, block, column, constantIndex(b, place),
             0, size);
  auto step = [&](ImplicitLocOpBuilder &b, Value d, int64_t count,
                  ValueRange sums) {
    SmallVector<Value> keys, next;
    for (Value position : positions)
      keys.push_back(loadLanes(b, lanes, op.getKCache(),
                               {op.getLayer(), run.slot, kvHead, position, d},
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

/// What is added to a query's scores at 32-bit positions.
Value AttentionItem::biases(ImplicitLocOpBuilder &b, Value query,
                            Value positions) {
  auto type = cast<VectorType>(positions.getType());
  auto wide = [&](Value scalar) {
    return splat(b, scalar, type.getNumElements());
  };
  int64_t columns = cast<MemRefType>(op.getBias().getType()).getDimSize(1);
  Value reach = wide(constantI32(b, columns / 2));
  Value own = wide(toI32(b, positionOf(b, rowOf(b, query))));
  Value column =
      arith::AddIOp::create(b, arith::SubIOp::create(b, positions, own), reach);
  column = arith::MaxSIOp::create(b, column, wide(constantI32(b, 0)));
  column = arith::MinSIOp::create(b, column, wide(constantI32(b, columns - 1)));
  int64_t lanes = type.getNumElements();
  Value zero = constantIndex(b, 0);
  return vector::GatherOp::create(b, f32s(b, lanes), op.getBias(),
                                  ValueRange{headOf(b, query), zero}, column,
                                  firstLanes(b, lanes, lanes), zeros(b, lanes));
}

/// Makes weights of a query's scores and updates m, l and c.
void AttentionItem::weigh(ImplicitLocOpBuilder &b, Value query, Value block) {
  Value zero = constantIndex(b, 0), zeroF32 = constantF32(b, 0);
  Value lowest = constantF32(b, -std::numeric_limits<float>::infinity());
  Span seen = visible(b, rowOf(b, query));
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
  if (op.getWindow() || op.getChunk()) {
    Value begun = compare(arith::CmpIPredicate::sge, positions,
                          wide(toI32(b, seen.begin)));
    sees = arith::AndIOp::create(b, sees, begun);
  }
  Value scores = vector::LoadOp::create(b, f32s(b, kBlockKeys), weights,
                                        ValueRange{query, zero});
  if (op.getBias())
    scores = arith::AddFOp::create(b, scores, biases(b, query, positions));
  if (std::optional<APFloat> softcap = op.getSoftcap()) {
    Value cap = wide(constantF32(b, softcap->convertToFloat()));
    Value part = arith::DivFOp::create(b, scores, cap);
    scores = arith::MulFOp::create(b, cap, math::TanhOp::create(b, part));
  }
  scores = arith::SelectOp::create(b, sees, scores, wide(lowest));

  Value old = load(b, maxima, query);
  Value max = arith::MaximumFOp::create(b, old, maxLane(b, scores));
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
void AttentionItem::addValues(ImplicitLocOpBuilder &b, Value query,
                              int64_t tile, Value block, Span keys) {
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
                                  {op.getLayer(), run.slot, kvHead, j, at(r)},
                                  std::min(lanes, size - (first + r) * lanes)));
                  Value column = sub(b, j, block);
                  if (op.getVCache() != op.getKCache())
                    prefetch(b, op.getVCache(), query, block, column,
                             rem(b, column, kPlaces), first * lanes,
                             std::min(size, (first + count) * lanes));
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
void AttentionItem::addValues(ImplicitLocOpBuilder &b, Value block) {
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
          Span keys = visibleIn(b, block, rowOf(b, query));
          addValues(b, query, 1, block, keys);
        });
      });
}

/// Stores the outputs.
void AttentionItem::finish(ImplicitLocOpBuilder &b) {
  forEach(b, numQueries, [&](ImplicitLocOpBuilder &b, Value query) {
    Value row = add(b, run.first, rowOf(b, query)),
          queryHead = headOf(b, query);
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

void AttentionItem::emit(ImplicitLocOpBuilder &b, RowRun itemRun,
                         Value number) {
  run = itemRun;
  kvHead = div(b, number, parts(op));
  Value skipped = mul(b, rem(b, number, parts(op)), heads);
  firstHead = add(b, mul(b, kvHead, group), skipped);
  Value numHeads = min(b, sub(b, constantIndex(b, group), skipped), heads);
  numQueries = mul(b, run.count, numHeads);
  end = visible(b, sub(b, run.count, constantIndex(b, 1))).end;
  begin(b);
  Value first = visible(b, constantIndex(b, 0)).begin;
  first = mul(b, div(b, first, kBlockKeys), kBlockKeys);
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
