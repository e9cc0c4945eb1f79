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
  chunks.count = div(b, add(b, numRows, chunkRows - 1), chunkRows);
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
  Value maxChunks = add(b, div(b, maxRows, chunkRows), min(b, maxRows, groups));
  chunks.list = alloc(b, {ShapedType::kDynamic, 3}, b.getI32Type(), maxChunks);

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

  /// The weights of a group, from a panel on.
  WeightStream getStream(ImplicitLocOpBuilder &b, Value group,
                         Value panel) const;

  /// Packs the rows of a chunk.
  void pack(ImplicitLocOpBuilder &b, const RowChunk &chunk) const;

  /// Multiplies packed rows with the panels `begin..end`, and prefetches in
  /// time what is multiplied `next`.
  void multiply(ImplicitLocOpBuilder &b, const RowChunk &chunk, Value begin,
                Value end, const WeightStream &next, Consumer consume) const;

private:
  const Product &product;
  RowLayout layout;
  int64_t k, rowBytes, numPanels, panelSize;
  /// The weights, in one dimension.
  Value weights;
  /// Of each thread: packed rows and sums, and for how many rows.
  Value packed, sums, maxRows;
};

} // namespace

ThreadProduct::ThreadProduct(ImplicitLocOpBuilder &b, const Level &level,
                             const RowChunks &chunks, const Product &product)
    : product(product), layout(level, product.format, product.compute) {
  auto type = cast<MemRefType>(product.weights.getType());
  int64_t panelDim = chunks.isDense() ? 0 : 1;
  k = cast<MemRefType>(product.rows.getType()).getDimSize(1);
  rowBytes = layout.getRowBytes(k);
  numPanels = type.getDimSize(panelDim);
  panelSize =
      ShapedType::getNumElements(type.getShape().drop_front(panelDim + 1));
  auto all = llvm::to_vector<2>(llvm::seq<int64_t>(0, type.getRank()));
  weights = memref::CollapseShapeOp::create(
      b, product.weights, SmallVector<ReassociationIndices>{all});

  Value threads = NumThreadsOp::create(b);
  maxRows = layout.roundUpRows(b, chunks.getMaxRows(b));
  auto perThread = [&](Type element, int64_t size) {
    return alloc(b, {ShapedType::kDynamic}, element,
                 mul(b, threads, mul(b, maxRows, size)));
  };
  packed = perThread(b.getI8Type(), rowBytes);
  sums = perThread(b.getF32Type(), kPanelColumns);
}

WeightStream ThreadProduct::getStream(ImplicitLocOpBuilder &b, Value group,
                                      Value panel) const {
  if (group)
    panel = add(b, mul(b, group, numPanels), panel);
  return {weights, mul(b, panel, panelSize)};
}

void ThreadProduct::pack(ImplicitLocOpBuilder &b, const RowChunk &chunk) const {
  layout.pack(
      b, product.rows,
      [&](ImplicitLocOpBuilder &b, Value i) {
        return product.source(b, chunk, i);
      },
      chunk.count, packed, mul(b, chunk.thread, mul(b, maxRows, rowBytes)));
}

void ThreadProduct::multiply(ImplicitLocOpBuilder &b, const RowChunk &chunk,
                             Value begin, Value end, const WeightStream &next,
                             Consumer consume) const {
  int64_t panelBursts =
      panelSize * cast<MemRefType>(weights.getType()).getElementTypeBitWidth() /
      (Prefetch::kBytes * 8);
  Value rowsAt = mul(b, chunk.thread, mul(b, maxRows, rowBytes));
  Value sumsAt = mul(b, chunk.thread, mul(b, maxRows, kPanelColumns));
  WeightStream own = getStream(b, chunk.group, begin);
  forEach(b, begin, end, 1, [&](ImplicitLocOpBuilder &b, Value panel) {
    Value done = sub(b, panel, begin);
    auto emitPanel = [&](ImplicitLocOpBuilder &b, const WeightStream &ahead,
                         Value burst) {
      PanelMatmulOp::create(b, product.format, product.compute, packed, rowsAt,
                            chunk.count, k, weights,
                            add(b, own.from, mul(b, done, panelSize)), sums,
                            sumsAt, ahead.buffer, ahead.from, burst);
    };
    Value following = add(b, panel, 1);
    branch(
        b, less(b, following, end),
        [&](ImplicitLocOpBuilder &b) {
          emitPanel(b, own, mul(b, add(b, done, 1), panelBursts));
        },
        [&](ImplicitLocOpBuilder &b) {
          emitPanel(b, next, constantIndex(b, 0));
        });
    consume(b, {chunk, panel, sums, sumsAt});
  });
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

void mlir::moe::multiply(
    ImplicitLocOpBuilder &b, const Level &level, const RowChunks &chunks,
    const Product &product,
    function_ref<void(ImplicitLocOpBuilder &b, const PanelSums &sums)>
        consume) {
  ThreadProduct work(b, level, chunks, product);
  // As few parts of the panels as give enough items: each packs the rows.
  Value threads = NumThreadsOp::create(b);
  Value perChunk =
      divUp(b, mul(b, threads, chunks.getBlocking().itemsPerThread),
            max(b, chunks.getCount(), 1));
  Value all = constantIndex(b, work.getNumPanels());
  Value partPanels = divUp(
      b, all,
      min(b, perChunk, llvm::divideCeil(work.getNumPanels(), kMinPanels)));
  Value parts = divUp(b, all, partPanels);
  Value count = mul(b, chunks.getCount(), parts);

  // Of each thread, the chunk that is packed.
  Value packed = alloc(b, {ShapedType::kDynamic}, b.getI32Type(), threads);
  forEach(b, threads, [&](ImplicitLocOpBuilder &b, Value thread) {
    store(b, constantI32(b, -1), packed, thread);
  });
  auto packOnce = [&](ImplicitLocOpBuilder &b, Value number,
                      const RowChunk &chunk) {
    Value isPacked =
        arith::CmpIOp::create(b, arith::CmpIPredicate::eq, toI32(b, number),
                              load(b, packed, chunk.thread));
    branch(
        b, isPacked, [](ImplicitLocOpBuilder &) {},
        [&](ImplicitLocOpBuilder &b) {
          store(b, toI32(b, number), packed, chunk.thread);
          work.pack(b, chunk);
        });
  };
  forEachItem(
      b, count, mul(b, partPanels, work.getPanelSize()),
      [&](ImplicitLocOpBuilder &b, const WorkItem &item) {
        auto firstPanel = [&](Value number) {
          return mul(b, rem(b, number, parts), partPanels);
        };
        Value number = div(b, item.number, parts);
        RowChunk chunk = chunks.at(b, number, item.thread);
        packOnce(b, number, chunk);
        Value next = min(b, item.next, sub(b, count, constantIndex(b, 1)));
        RowChunk nextChunk = chunks.at(b, div(b, next, parts), item.thread);
        Value begin = firstPanel(item.number);
        work.multiply(b, chunk, begin,
                      min(b, add(b, begin, partPanels), work.getNumPanels()),
                      work.getStream(b, nextChunk.group, firstPanel(next)),
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
    const Product &first, const Product &second,
    function_ref<void(ImplicitLocOpBuilder &b, const PanelSums &sums)>
        consumeFirst,
    function_ref<void(ImplicitLocOpBuilder &b, const PanelSums &sums)>
        consumeSecond) {
  ThreadProduct one(b, level, chunks, first), two(b, level, chunks, second);
  Value count = chunks.getCount();
  Value work = constantIndex(b, one.getNumPanels() * one.getPanelSize());
  forEachItem(
      b, count, work, [&](ImplicitLocOpBuilder &b, const WorkItem &item) {
        RowChunk chunk = chunks.at(b, item.number, item.thread);
        Value next = min(b, item.next, sub(b, count, constantIndex(b, 1)));
        RowChunk nextChunk = chunks.at(b, next, item.thread);
        Value zero = constantIndex(b, 0);
        auto all = [&](const ThreadProduct &product) {
          return constantIndex(b, product.getNumPanels());
        };
        one.pack(b, chunk);
        one.multiply(b, chunk, zero, all(one),
                     two.getStream(b, chunk.group, zero), consumeFirst);
        two.pack(b, chunk);
        two.multiply(b, chunk, zero, all(two),
                     one.getStream(b, nextChunk.group, zero), consumeSecond);
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
