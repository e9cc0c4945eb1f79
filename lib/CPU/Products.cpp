//===- Products.cpp - Products of rows with packed weights ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Products.h"

#include "Loops.h"
#include "TileKernels.h"
#include "WorkList.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;

/// Rows of a chunk: they stay in L2 while the panels pass.
static constexpr int64_t kChunkRows = 256;

/// The number of items of a thread to strive for, so that all end at about the
/// same time, and the least number of panels of an item.
static constexpr int64_t kItemsPerThread = 8, kMinPanels = 2;

//===----------------------------------------------------------------------===//
// Chunks
//===----------------------------------------------------------------------===//

RowChunks RowChunks::dense(ImplicitLocOpBuilder &b, Value numRows) {
  RowChunks chunks;
  chunks.numRows = numRows;
  chunks.count = div(b, add(b, numRows, kChunkRows - 1), kChunkRows);
  return chunks;
}

RowChunks RowChunks::grouped(ImplicitLocOpBuilder &b, Value offsets,
                             int64_t groups, Value maxRows) {
  RowChunks chunks;
  chunks.numRows = maxRows;
  // Every group that has rows may have one chunk that is not full.
  Value maxChunks =
      add(b, div(b, maxRows, kChunkRows), min(b, maxRows, groups));
  chunks.list = alloc(b, {ShapedType::kDynamic, 3}, b.getI32Type(), maxChunks);

  Value zero = constantIndex(b, 0);
  auto perGroup =
      forLoop(b, zero, constantIndex(b, groups), zero,
              [&](ImplicitLocOpBuilder &b, Value group,
                  ValueRange done) -> SmallVector<Value> {
                Value first = toIndex(b, load(b, offsets, group));
                Value end = toIndex(b, load(b, offsets, add(b, group, 1)));
                Value rows = sub(b, end, first);
                Value more = div(b, add(b, rows, kChunkRows - 1), kChunkRows);
                forEach(b, more, [&](ImplicitLocOpBuilder &b, Value i) {
                  Value begin = mul(b, i, kChunkRows);
                  Value members[] = {group, add(b, first, begin),
                                     min(b, sub(b, rows, begin), kChunkRows)};
                  for (auto [column, member] : llvm::enumerate(members))
                    store(b, toI32(b, member), chunks.list,
                          {add(b, done[0], i), constantIndex(b, column)});
                });
                return {add(b, done[0], more)};
              });
  chunks.count = perGroup.getResult(0);
  return chunks;
}

RowChunk RowChunks::at(ImplicitLocOpBuilder &b, Value i) const {
  if (isDense()) {
    Value first = mul(b, i, kChunkRows);
    return {Value(), first, min(b, sub(b, numRows, first), kChunkRows)};
  }
  auto member = [&](int64_t column) {
    return toIndex(b, load(b, list, {i, constantIndex(b, column)}));
  };
  return {member(0), member(1), member(2)};
}

Value RowChunks::getMaxRows(ImplicitLocOpBuilder &b) const {
  return min(b, numRows, kChunkRows);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

namespace {

/// A chunk and the panels `begin..end`, whose bytes are a stream.
struct ProductItem {
  Value chunk, begin, end;
  /// The element of the weights at which the stream begins.
  Value stream;
};

class ProductEmitter {
public:
  ProductEmitter(ImplicitLocOpBuilder &b, const Level &level,
                 const RowChunks &chunks, const Product &product);

  void emit(ImplicitLocOpBuilder &b,
            function_ref<void(ImplicitLocOpBuilder &b, const PanelSums &sums)>
                consume);

private:
  void cut(ImplicitLocOpBuilder &b);
  ProductItem itemAt(ImplicitLocOpBuilder &b, Value number);
  void packOnce(ImplicitLocOpBuilder &b, const ProductItem &item,
                const RowChunk &chunk, Value thread);

  const RowChunks &chunks;
  const Product &product;
  RowLayout layout;
  int64_t k, rowSize, numPanels, panelSize;
  /// The weights, in one dimension.
  Value weights;
  /// The parts into which the panels are cut, and the panels of each.
  Value parts, partPanels;
  /// Of each thread: packed rows, sums, and the chunk that is packed.
  Value packed, sums, packedChunk;
  Value maxRows;
};

} // namespace

ProductEmitter::ProductEmitter(ImplicitLocOpBuilder &b, const Level &level,
                               const RowChunks &chunks, const Product &product)
    : chunks(chunks), product(product),
      layout(level, product.format, product.compute) {
  auto type = cast<MemRefType>(product.weights.getType());
  int64_t panelDim = chunks.isDense() ? 0 : 1;
  k = cast<MemRefType>(product.rows.getType()).getDimSize(1);
  rowSize = layout.getRowBytes(k);
  numPanels = type.getDimSize(panelDim);
  panelSize =
      ShapedType::getNumElements(type.getShape().drop_front(panelDim + 1));
  auto all = llvm::to_vector<2>(llvm::seq<int64_t>(0, type.getRank()));
  weights = memref::CollapseShapeOp::create(
      b, product.weights, SmallVector<ReassociationIndices>{all});

  Value threads = NumThreadsOp::create(b);
  maxRows = layout.roundUpRows(b, chunks.getMaxRows(b));
  auto perThread = [&](Type element, Value size) {
    return alloc(b, {ShapedType::kDynamic}, element, mul(b, threads, size));
  };
  packed = perThread(b.getI8Type(), mul(b, maxRows, rowSize));
  sums = perThread(b.getF32Type(), mul(b, maxRows, kPanelColumns));
  packedChunk = perThread(b.getI32Type(), constantIndex(b, 1));
  forEach(b, threads, [&](ImplicitLocOpBuilder &b, Value thread) {
    store(b, constantI32(b, -1), packedChunk, thread);
  });
  cut(b);
}

/// As few parts of the panels as give enough items: each packs the rows.
void ProductEmitter::cut(ImplicitLocOpBuilder &b) {
  Value wanted = mul(b, NumThreadsOp::create(b), kItemsPerThread);
  Value perChunk = divUp(b, wanted, max(b, chunks.getCount(), 1));
  Value all = constantIndex(b, numPanels);
  Value most = constantIndex(b, llvm::divideCeil(numPanels, kMinPanels));
  partPanels = divUp(b, all, min(b, perChunk, most));
  parts = divUp(b, all, partPanels);
}

ProductItem ProductEmitter::itemAt(ImplicitLocOpBuilder &b, Value number) {
  Value chunk = div(b, number, parts);
  Value begin = mul(b, rem(b, number, parts), partPanels);
  Value panel = begin;
  if (Value group = chunks.at(b, chunk).group)
    panel = add(b, mul(b, group, numPanels), begin);
  return {chunk, begin, min(b, add(b, begin, partPanels), numPanels),
          mul(b, panel, panelSize)};
}

/// Packs the rows of the chunk, unless the thread's last item had them.
void ProductEmitter::packOnce(ImplicitLocOpBuilder &b, const ProductItem &item,
                              const RowChunk &chunk, Value thread) {
  Value number = toI32(b, item.chunk);
  Value isPacked = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, number,
                                         load(b, packedChunk, thread));
  branch(
      b, isPacked, [](ImplicitLocOpBuilder &) {},
      [&](ImplicitLocOpBuilder &b) {
        store(b, number, packedChunk, thread);
        layout.pack(
            b, product.rows,
            [&](ImplicitLocOpBuilder &b, Value i) {
              return product.source(b, add(b, chunk.first, i));
            },
            chunk.count, packed, mul(b, thread, mul(b, maxRows, rowSize)));
      });
}

void ProductEmitter::emit(
    ImplicitLocOpBuilder &b,
    function_ref<void(ImplicitLocOpBuilder &b, const PanelSums &sums)>
        consume) {
  int64_t panelBursts =
      panelSize * cast<MemRefType>(weights.getType()).getElementTypeBitWidth() /
      (Prefetch::kBytes * 8);
  Value count = mul(b, chunks.getCount(), parts);
  Value work = mul(b, partPanels, panelSize);
  forEachItem(
      b, count, work, [&](ImplicitLocOpBuilder &b, const WorkItem &taken) {
        ProductItem item = itemAt(b, taken.number);
        Value last = sub(b, count, constantIndex(b, 1));
        ProductItem next = itemAt(b, min(b, taken.next, last));
        RowChunk chunk = chunks.at(b, item.chunk);
        packOnce(b, item, chunk, taken.thread);
        Value rowsAt = mul(b, taken.thread, mul(b, maxRows, rowSize));
        Value sumsAt = mul(b, taken.thread, mul(b, maxRows, kPanelColumns));
        forEach(b, item.begin, item.end, 1,
                [&](ImplicitLocOpBuilder &b, Value panel) {
                  Value done = sub(b, panel, item.begin);
                  Value isWithin = less(b, add(b, panel, 1), item.end);
                  // The next panel, or the first one of the next item.
                  Value from = arith::SelectOp::create(b, isWithin, item.stream,
                                                       next.stream);
                  Value burst = arith::SelectOp::create(
                      b, isWithin, mul(b, add(b, done, 1), panelBursts),
                      constantIndex(b, 0));
                  PanelMatmulOp::create(
                      b, product.format, product.compute, packed, rowsAt,
                      chunk.count, k, weights,
                      add(b, item.stream, mul(b, done, panelSize)), sums,
                      sumsAt, from, burst);
                  consume(b, {chunk, panel, sums, sumsAt});
                });
      });
}

LogicalResult mlir::moe::expectKernel(Operation *op, const Level &level,
                                      Compute compute) {
  // Products of bytes need either dot products or 16 lanes less.
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
  ProductEmitter(b, level, chunks, product).emit(b, consume);
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

void mlir::moe::forEachRow(
    ImplicitLocOpBuilder &b, const Level &level, const PanelSums &sums,
    function_ref<void(ImplicitLocOpBuilder &b, Value position,
                      ValueRange columns)>
        body) {
  auto f32s = VectorType::get({level.lanes}, b.getF32Type());
  forEach(b, sums.chunk.count, [&](ImplicitLocOpBuilder &b, Value i) {
    Value at = add(b, sums.begin, mul(b, i, kPanelColumns));
    SmallVector<Value> columns;
    for (int64_t c = 0; c < kPanelColumns; c += level.lanes)
      columns.push_back(
          vector::LoadOp::create(b, f32s, sums.sums, add(b, at, c)));
    body(b, add(b, sums.chunk.first, i), columns);
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
