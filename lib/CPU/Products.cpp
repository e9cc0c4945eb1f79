//===- Products.cpp - Products of rows with packed weights ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Products.h"

#include "AmxTiles.h"
#include "Loops.h"
#include "TileKernels.h"
#include "WorkList.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;

/// The least number of panels of an item.
static constexpr int64_t kMinPanels = 2;

/// Rows of a chunk from which on it matters that they stay in the cache.
static constexpr int64_t kCachedRows = 32;

//===----------------------------------------------------------------------===//
// Chunks
//===----------------------------------------------------------------------===//

RowChunks RowChunks::dense(ImplicitLocOpBuilder &b, Value numRows,
                           const Blocking &blocking) {
  RowChunks chunks;
  chunks.blocking = blocking;
  chunks.numRows = numRows;
  int64_t chunkRows = blocking.chunkRows;
  chunks.count = chunks.maxCount =
      div(b, add(b, numRows, chunkRows - 1), chunkRows);
  return chunks;
}

RowChunks RowChunks::grouped(ImplicitLocOpBuilder &b, Value offsets,
                             int64_t groups, Value maxRows,
                             const Blocking &blocking) {
  RowChunks chunks;
  chunks.blocking = blocking;
  int64_t chunkRows = blocking.chunkRows;
  chunks.numRows = maxRows;
  // Every group that has rows may have one chunk that is not full.
  chunks.maxCount = add(b, div(b, maxRows, chunkRows), min(b, maxRows, groups));
  chunks.list =
      alloc(b, {ShapedType::kDynamic, 3}, b.getI32Type(), chunks.maxCount);

  Value zero = constantIndex(b, 0);
  auto perGroup = forLoop(
      b, zero, constantIndex(b, groups), zero,
      [&](ImplicitLocOpBuilder &b, Value group,
          ValueRange done) -> SmallVector<Value> {
        Value first = toIndex(b, load(b, offsets, group));
        Value end = toIndex(b, load(b, offsets, add(b, group, 1)));
        Value rows = sub(b, end, first);
        // Equal chunks, but for what tiles of AMX round up to.
        Value parts = max(b, div(b, add(b, rows, chunkRows - 1), chunkRows), 1);
        Value size = max(b, roundUp(b, divUp(b, rows, parts), kAmxTileRows), 1);
        Value more = divUp(b, rows, size);
        forEach(b, more, [&](ImplicitLocOpBuilder &b, Value i) {
          Value begin = mul(b, i, size);
          Value members[] = {group, add(b, first, begin),
                             min(b, sub(b, rows, begin), size)};
          for (auto [column, member] : llvm::enumerate(members))
            store(b, toI32(b, member), chunks.list,
                  {add(b, done[0], i), constantIndex(b, column)});
        });
        return {add(b, done[0], more)};
      });
  chunks.count = perGroup.getResult(0);
  return chunks;
}

RowChunk RowChunks::at(ImplicitLocOpBuilder &b, Value i, Value thread) const {
  if (isDense()) {
    Value first = mul(b, i, blocking.chunkRows);
    return {Value(), first, min(b, sub(b, numRows, first), blocking.chunkRows),
            thread};
  }
  auto member = [&](int64_t column) {
    return toIndex(b, load(b, list, {i, constantIndex(b, column)}));
  };
  return {member(0), member(1), member(2), thread};
}

Value RowChunks::getMaxRows(ImplicitLocOpBuilder &b) const {
  return min(b, numRows, blocking.chunkRows);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

namespace {

/// Where in a buffer a stream of weights begins.
struct WeightStream {
  Value buffer, from;
};

/// A product, as what a thread does for a chunk.
class ThreadProduct {
public:
  using Consumer =
      function_ref<void(ImplicitLocOpBuilder &b, const PanelSums &sums)>;

  ThreadProduct(ImplicitLocOpBuilder &b, const Level &level,
                const RowChunks &chunks, const Product &product);

  int64_t getNumPanels() const { return numPanels; }
  /// Elements of a panel.
  int64_t getPanelSize() const { return panelSize; }

  /// The weights of a group from a panel on; of that, from `lower` on.
  WeightStream getStream(ImplicitLocOpBuilder &b, Value group, Value panel,
                         Value lower = Value()) const;

  /// Packs the rows of chunk `number`, unless the thread did that last.
  void pack(ImplicitLocOpBuilder &b, Value number, const RowChunk &chunk) const;

  /// Multiplies packed rows with the panels `begin..end`, and prefetches in
  /// time what is multiplied `next`.
  void multiply(ImplicitLocOpBuilder &b, const RowChunk &chunk, Value begin,
                Value end, const WeightStream &next, Consumer consume) const;

private:
  /// Where the packed rows of a chunk begin, in bytes.
  Value rowsAt(ImplicitLocOpBuilder &b, const RowChunk &chunk) const;

  const Product &product;
  RowLayout layout;
  int64_t k, rowBytes, numPanels, panelSize;
  /// Rows with more bytes are multiplied with a group of panels at a time, and
  /// a range of k.
  int64_t cachedBytes, rangeK, groupPanels = 1;
  /// The weights, in one dimension.
  Value weights;
  /// Of each thread: packed rows and sums, and for how many rows; and the
  /// number of the chunk that is packed.
  Value packed, sums, maxRows, packedChunk;
};

} // namespace

ThreadProduct::ThreadProduct(ImplicitLocOpBuilder &b, const Level &level,
                             const RowChunks &chunks, const Product &product)
    : product(product), layout(level, product.format, product.compute) {
  auto type = cast<MemRefType>(product.weights.getType());
  int64_t panelDim = chunks.isDense() ? 0 : 1;
  k = product.packedK ? product.packedK
                      : cast<MemRefType>(product.rows.getType()).getDimSize(1);
  rowBytes = layout.getRowBytes(k);
  numPanels = type.getDimSize(panelDim);
  panelSize =
      ShapedType::getNumElements(type.getShape().drop_front(panelDim + 1));
  auto all = llvm::to_vector<2>(llvm::seq<int64_t>(0, type.getRank()));
  Value flat = memref::CollapseShapeOp::create(
      b, product.weights, SmallVector<ReassociationIndices>{all});
  // Of one type, whatever the product, so that any can be read ahead.
  weights = memref::CastOp::create(
      b, MemRefType::get({ShapedType::kDynamic}, type.getElementType()), flat);

  const Blocking &blocking = chunks.getBlocking();
  cachedBytes = blocking.cacheBytes * 3 / 4;
  rangeK = k;
  if (int64_t chunkBytes = blocking.chunkRows * rowBytes;
      chunkBytes > cachedBytes) {
    int64_t ranges = llvm::divideCeil(chunkBytes, blocking.cacheBytes / 2);
    rangeK = llvm::alignTo(llvm::divideCeil(k, ranges), 64);
    int64_t sumBytes = blocking.chunkRows * kPanelColumns * 4;
    groupPanels = std::max<int64_t>(blocking.cacheBytes / 4 / sumBytes, 1);
  }

  Value threads = NumThreadsOp::create(b);
  maxRows = layout.roundUpRows(b, chunks.getMaxRows(b));
  auto perThread = [&](Type element, int64_t size) {
    return alloc(b, {ShapedType::kDynamic}, element,
                 mul(b, threads, mul(b, maxRows, size)));
  };
  sums = perThread(b.getF32Type(), groupPanels * kPanelColumns);
  if (product.packedK) {
    packed = product.rows;
    return;
  }
  packed = perThread(b.getI8Type(), rowBytes);
  packedChunk = alloc(b, {ShapedType::kDynamic}, b.getI32Type(), threads);
  forEach(b, threads, [&](ImplicitLocOpBuilder &b, Value thread) {
    store(b, constantI32(b, -1), packedChunk, thread);
  });
}

WeightStream ThreadProduct::getStream(ImplicitLocOpBuilder &b, Value group,
                                      Value panel, Value lower) const {
  if (group)
    panel = add(b, mul(b, group, numPanels), panel);
  Value from = mul(b, panel, panelSize);
  if (lower) {
    int64_t bits = cast<MemRefType>(weights.getType()).getElementTypeBitWidth();
    int64_t per64 = layout.getPanelBytesPer64() * 8 / bits;
    from = add(b, from, mul(b, div(b, lower, 64), per64));
  }
  return {weights, from};
}

void ThreadProduct::pack(ImplicitLocOpBuilder &b, Value number,
                         const RowChunk &chunk) const {
  if (product.packedK)
    return;
  Value isOther =
      arith::CmpIOp::create(b, arith::CmpIPredicate::ne, toI32(b, number),
                            load(b, packedChunk, chunk.thread));
  branch(b, isOther, [&](ImplicitLocOpBuilder &b) {
    store(b, toI32(b, number), packedChunk, chunk.thread);
    layout.pack(
        b, product.rows,
        [&](ImplicitLocOpBuilder &b, Value i) {
          return product.source(b, chunk, i);
        },
        chunk.count, packed, rowsAt(b, chunk));
  });
}

Value ThreadProduct::rowsAt(ImplicitLocOpBuilder &b,
                            const RowChunk &chunk) const {
  Value first = product.packedK ? product.source(b, chunk, constantIndex(b, 0))
                                : mul(b, chunk.thread, maxRows);
  return mul(b, first, rowBytes);
}

void ThreadProduct::multiply(ImplicitLocOpBuilder &b, const RowChunk &chunk,
                             Value begin, Value end, const WeightStream &next,
                             Consumer consume) const {
  Value zero = constantIndex(b, 0), depth = constantIndex(b, k);
  Value rows = rowsAt(b, chunk);
  Value threadSums =
      mul(b, chunk.thread, mul(b, maxRows, groupPanels * kPanelColumns));
  auto forEachPanel = [&](ImplicitLocOpBuilder &b, Value first, Value last,
                          auto body) {
    forEach(b, first, last, 1, [&](ImplicitLocOpBuilder &b, Value panel) {
      Value number = mul(b, sub(b, panel, first), kPanelColumns);
      body(b, panel, add(b, threadSums, mul(b, number, maxRows)));
    });
  };
  // Few rows stay in the cache however long they are.
  Value stay = lessEqual(b, mul(b, chunk.count, rowBytes), cachedBytes);
  Value step = select(b, stay, depth, constantIndex(b, rangeK));

  auto multiplyRange = [&](ImplicitLocOpBuilder &b, Value first, Value last,
                           Value lower) {
    Value upper = min(b, add(b, lower, step), depth);
    // After the last panel comes the first one's next range, or the next group.
    Value hasMore = less(b, upper, depth);
    Value back = select(b, hasMore, first, last);
    Value backK = select(b, hasMore, upper, zero);
    forEachPanel(
        b, first, last,
        [&](ImplicitLocOpBuilder &b, Value panel, Value sumsAt) {
          Value after = add(b, panel, 1), inGroup = less(b, after, last);
          after = select(b, inGroup, after, back);
          WeightStream own = getStream(b, chunk.group, after,
                                       select(b, inGroup, lower, backK));
          Value isOwn = less(b, after, end);
          PanelMatmulOp::create(
              b, product.format, product.compute, packed, rows, chunk.count, k,
              lower, upper, weights, getStream(b, chunk.group, panel).from,
              sums, sumsAt, select(b, isOwn, own.buffer, next.buffer),
              select(b, isOwn, own.from, next.from));
        });
  };
  auto multiplyGroup = [&](ImplicitLocOpBuilder &b, Value first) {
    Value last = min(b, add(b, first, groupPanels), end);
    forEach(b, zero, depth, step, [&](ImplicitLocOpBuilder &b, Value lower) {
      multiplyRange(b, first, last, lower);
    });
    forEachPanel(b, first, last,
                 [&](ImplicitLocOpBuilder &b, Value panel, Value sumsAt) {
                   consume(b, {chunk, panel, sums, sumsAt});
                 });
  };
  forEach(b, begin, end, groupPanels, multiplyGroup);
}

LogicalResult mlir::moe::expectKernel(Operation *op, const Level &level,
                                      Compute compute) {
  // Without dot products, only AVX2 has the instructions that replace them.
  if (compute != Compute::Int8 || level.hasDots || level.lanes == 8)
    return success();
  return op->emitOpError("expected a level with dot products for compute int8, "
                         "such as vnni, got ")
         << level.isa;
}

namespace {

/// The panels of each chunk, in as few parts as give enough items: each packs
/// the rows.
struct PanelParts {
  PanelParts(ImplicitLocOpBuilder &b, const RowChunks &chunks,
             const ThreadProduct &product)
      : all(constantIndex(b, product.getNumPanels())) {
    Value perChunk = divUp(
        b, mul(b, NumThreadsOp::create(b), chunks.getBlocking().itemsPerThread),
        max(b, chunks.getCount(), 1));
    int64_t most = llvm::divideCeil(product.getNumPanels(), kMinPanels);
    size = divUp(b, all, min(b, perChunk, most));
    count = divUp(b, all, size);
  }

  /// One part.
  void joinIf(ImplicitLocOpBuilder &b, Value condition) {
    size = select(b, condition, all, size);
    count = select(b, condition, constantIndex(b, 1), count);
  }

  Value begin(ImplicitLocOpBuilder &b, Value part) const {
    return mul(b, part, size);
  }
  Value end(ImplicitLocOpBuilder &b, Value part) const {
    return min(b, add(b, begin(b, part), size), all);
  }

  /// All panels, those of a part, and the number of parts.
  Value all, size, count;
};

} // namespace

void mlir::moe::multiply(
    ImplicitLocOpBuilder &b, const Level &level, const RowChunks &chunks,
    const Product &product,
    function_ref<void(ImplicitLocOpBuilder &b, const PanelSums &sums)>
        consume) {
  ThreadProduct work(b, level, chunks, product);
  PanelParts parts(b, chunks, work);
  Value count = mul(b, chunks.getCount(), parts.count);
  forEachItem(
      b, count, mul(b, parts.size, work.getPanelSize()),
      [&](ImplicitLocOpBuilder &b, const WorkItem &item) {
        Value number = div(b, item.number, parts.count);
        RowChunk chunk = chunks.at(b, number, item.thread);
        work.pack(b, number, chunk);
        Value next = min(b, item.next, sub(b, count, constantIndex(b, 1)));
        RowChunk nextChunk =
            chunks.at(b, div(b, next, parts.count), item.thread);
        Value part = rem(b, item.number, parts.count);
        Value nextPart = rem(b, next, parts.count);
        work.multiply(
            b, chunk, parts.begin(b, part), parts.end(b, part),
            work.getStream(b, nextChunk.group, parts.begin(b, nextPart)),
            consume);
      });
}

Blocking mlir::moe::getBlocking(const Target &target, const Level &level,
                                PackFormat format, Compute compute, int64_t k,
                                MemRefType weights) {
  return TargetModel(target).getBlocking(
      RowLayout(level, format, compute), k,
      weights.getNumElements() * weights.getElementTypeBitWidth() / 8);
}

Value mlir::moe::hasManyChunks(ImplicitLocOpBuilder &b, const RowChunks &chunks,
                               Value numRows) {
  Value count = chunks.getCount();
  Value areMany = less(
      b, mul(b, NumThreadsOp::create(b), chunks.getBlocking().chunksPerThread),
      count);
  Value areLong = less(b, mul(b, count, kCachedRows), numRows);
  return arith::AndIOp::create(b, areMany, areLong);
}

void mlir::moe::multiplyBoth(
    ImplicitLocOpBuilder &b, const Level &level, const RowChunks &chunks,
    Value whole, const Stage &first, const Stage &second, Value lastCount,
    function_ref<void(ImplicitLocOpBuilder &b, Value i)> last) {
  ThreadProduct one(b, level, chunks, first.product),
      two(b, level, chunks, second.product);
  PanelParts partsOfOne(b, chunks, one), partsOfTwo(b, chunks, two);
  partsOfOne.joinIf(b, whole);
  partsOfTwo.joinIf(b, whole);
  Value zero = constantIndex(b, 0);
  Value numChunks = chunks.getCount();
  Value numTwo = mul(b, numChunks, partsOfTwo.count);
  Value endOne = mul(b, numChunks, partsOfOne.count);
  Value endTwo = add(b, endOne, select(b, whole, zero, numTwo));

  Countdowns ones(b, chunks.getMaxCount()), twos(b, constantIndex(b, 1));
  forEach(b, numChunks, [&](ImplicitLocOpBuilder &b, Value i) {
    ones.set(b, i, toI32(b, partsOfOne.count));
  });
  twos.set(b, zero, toI32(b, numTwo));

  // Where an item begins.
  struct Place {
    Value isTwo, chunk, part;
  };
  auto placeOf = [&](ImplicitLocOpBuilder &b, Value item) -> Place {
    Value isOne = less(b, item, endOne);
    Value parts = select(b, isOne, partsOfOne.count, partsOfTwo.count);
    Value number = select(b, isOne, item, sub(b, item, endOne));
    Value isTwo = arith::XOrIOp::create(
        b, isOne, arith::ConstantIntOp::create(b, true, /*width=*/1));
    return {isTwo, div(b, number, parts), rem(b, number, parts)};
  };
  auto streamAt = [&](ImplicitLocOpBuilder &b, const Place &place,
                      Value group) -> WeightStream {
    WeightStream inOne =
        one.getStream(b, group, partsOfOne.begin(b, place.part));
    WeightStream inTwo =
        two.getStream(b, group, partsOfTwo.begin(b, place.part));
    return {select(b, place.isTwo, inTwo.buffer, inOne.buffer),
            select(b, place.isTwo, inTwo.from, inOne.from)};
  };

  auto multiplyItem = [&](ImplicitLocOpBuilder &b, const WorkItem &item) {
    Place place = placeOf(b, item.number);
    Place next =
        placeOf(b, min(b, item.next, sub(b, endTwo, constantIndex(b, 1))));
    RowChunk chunk = chunks.at(b, place.chunk, item.thread);
    RowChunk nextChunk = chunks.at(b, next.chunk, item.thread);
    WeightStream ahead = streamAt(b, next, nextChunk.group);
    auto multiplyOne = [&](ImplicitLocOpBuilder &b) {
      WeightStream inTwo = two.getStream(b, chunk.group, zero);
      one.pack(b, place.chunk, chunk);
      one.multiply(b, chunk, partsOfOne.begin(b, place.part),
                   partsOfOne.end(b, place.part),
                   {select(b, whole, inTwo.buffer, ahead.buffer),
                    select(b, whole, inTwo.from, ahead.from)},
                   first.consume);
      ones.finish(b, place.chunk);
    };
    auto multiplyTwo = [&](ImplicitLocOpBuilder &b) {
      ones.await(b, place.chunk);
      two.pack(b, place.chunk, chunk);
      two.multiply(b, chunk, partsOfTwo.begin(b, place.part),
                   partsOfTwo.end(b, place.part), ahead, second.consume);
      // Rows that were stored past the caches are in no order without it.
      LLVM::FenceOp::create(b, LLVM::AtomicOrdering::seq_cst);
      twos.finish(b, zero);
    };
    branch(b, place.isTwo, [](ImplicitLocOpBuilder &) {}, multiplyOne);
    branch(b, arith::OrIOp::create(b, whole, place.isTwo), multiplyTwo);
  };
  Value panels = min(b, partsOfOne.size, partsOfTwo.size);
  int64_t panelSize = std::min(one.getPanelSize(), two.getPanelSize());
  forEachItem(b, add(b, endTwo, lastCount), mul(b, panels, panelSize),
              [&](ImplicitLocOpBuilder &b, const WorkItem &item) {
                branch(
                    b, less(b, item.number, endTwo),
                    [&](ImplicitLocOpBuilder &b) { multiplyItem(b, item); },
                    [&](ImplicitLocOpBuilder &b) {
                      twos.await(b, zero);
                      last(b, sub(b, item.number, endTwo));
                    });
              });
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

void mlir::moe::forEachRow(
    ImplicitLocOpBuilder &b, const Level &level, const PanelSums &sums,
    function_ref<void(ImplicitLocOpBuilder &b, Value i, ValueRange columns)>
        body) {
  auto f32s = VectorType::get({level.lanes}, b.getF32Type());
  forEach(b, sums.chunk.count, [&](ImplicitLocOpBuilder &b, Value i) {
    Value at = add(b, sums.begin, mul(b, i, kPanelColumns));
    SmallVector<Value> columns;
    for (int64_t c = 0; c < kPanelColumns; c += level.lanes)
      columns.push_back(
          vector::LoadOp::create(b, f32s, sums.sums, add(b, at, c)));
    body(b, i, columns);
  });
}

void mlir::moe::storeColumns(ImplicitLocOpBuilder &b, ValueRange columns,
                             Value rows, Value row, Value column) {
  int64_t extent = cast<MemRefType>(rows.getType()).getDimSize(1);
  for (Value values : columns) {
    int64_t lanes = cast<VectorType>(values.getType()).getDimSize(0);
    vector::TransferWriteOp::create(
        b, values, rows, ValueRange{row, column},
        ArrayRef<bool>{extent % kPanelColumns == 0});
    column = add(b, column, lanes);
  }
}

bool mlir::moe::canStreamColumns(Value rows) {
  // Rows that end within a panel do not begin at multiples of vectors.
  return cast<MemRefType>(rows.getType()).getDimSize(1) % kPanelColumns == 0;
}

void mlir::moe::streamColumns(ImplicitLocOpBuilder &b, ValueRange columns,
                              Value rows, Value row, Value column) {
  for (Value values : columns) {
    auto type = cast<VectorType>(values.getType());
    int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8;
    vector::StoreOp::create(b, values, rows, ValueRange{row, column},
                            /*nontemporal=*/true, llvm::Align(bytes));
    column = add(b, column, type.getNumElements());
  }
}
