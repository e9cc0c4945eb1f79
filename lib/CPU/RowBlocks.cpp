//===- RowBlocks.cpp - Products of blocks of rows with packed weights -----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowBlocks.h"

#include "Loops.h"

#include "moe/IR/MoE.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;

/// Rows of a block: its packed rows stay in L2 while a panel is in use. A
/// multiple of every largest tile.
static constexpr int64_t kBlockRows = 96;

/// Panels of a work item. Each is a stream from memory of its own.
static constexpr int64_t kChunkPanels = 4;

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

RowBlocks RowBlocks::dense(ImplicitLocOpBuilder &b, const Level &level,
                           Value numRows) {
  RowBlocks blocks(level);
  blocks.numRows = numRows;
  blocks.count = div(b, add(b, numRows, kBlockRows - 1), kBlockRows);
  blocks.maxPackedRows = roundUp(b, numRows, level.maxTile());
  return blocks;
}

RowBlocks RowBlocks::grouped(ImplicitLocOpBuilder &b, const Level &level,
                             Value offsets, int64_t groups, Value maxRows) {
  RowBlocks blocks(level);
  // Every group that has rows may have one block and one tile that are not
  // full.
  Value used = min(b, maxRows, groups);
  blocks.maxPackedRows = add(b, maxRows, mul(b, used, level.maxTile() - 1));
  Value maxBlocks = add(b, div(b, maxRows, kBlockRows), used);
  blocks.list = alloc(b, {ShapedType::kDynamic, 4}, b.getI32Type(), maxBlocks);

  Value zero = constantIndex(b, 0);
  auto perGroup =
      forLoop(b, zero, constantIndex(b, groups), {zero, zero},
              [&](ImplicitLocOpBuilder &b, Value group,
                  ValueRange carried) -> SmallVector<Value> {
                Value first = toIndex(b, load(b, offsets, group));
                Value end = toIndex(b, load(b, offsets, add(b, group, 1)));
                Value rows = sub(b, end, first), packed = carried[1];
                Value more = div(b, add(b, rows, kBlockRows - 1), kBlockRows);
                forEach(b, more, [&](ImplicitLocOpBuilder &b, Value i) {
                  Value done = mul(b, i, kBlockRows);
                  Value block = add(b, carried[0], i);
                  Value members[] = {group, add(b, first, done),
                                     min(b, sub(b, rows, done), kBlockRows),
                                     add(b, packed, done)};
                  for (auto [column, member] : llvm::enumerate(members))
                    store(b, toI32(b, member), blocks.list,
                          {block, constantIndex(b, column)});
                });
                return {add(b, carried[0], more),
                        add(b, packed, roundUp(b, rows, level.maxTile()))};
              });
  blocks.count = perGroup.getResult(0);
  return blocks;
}

RowBlock RowBlocks::at(ImplicitLocOpBuilder &b, Value i) const {
  if (!list) {
    Value first = mul(b, i, kBlockRows);
    return {Value(), first, min(b, sub(b, numRows, first), kBlockRows), first};
  }
  auto member = [&](int64_t column) {
    return toIndex(b, load(b, list, {i, constantIndex(b, column)}));
  };
  return {member(0), member(1), member(2), member(3)};
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

PackedRows RowBlocks::allocatePacked(ImplicitLocOpBuilder &b,
                                     int64_t length) const {
  Value buffer = alloc(b, {ShapedType::kDynamic}, b.getF32Type(),
                       mul(b, maxPackedRows, length));
  return {buffer, length};
}

/// The smallest tile for `rows` rows.
static Value tileFor(ImplicitLocOpBuilder &b, const Level &level, Value rows) {
  Value tile = constantIndex(b, level.maxTile());
  for (int64_t smaller : llvm::reverse(level.tiles.drop_back()))
    tile = b.createOrFold<arith::SelectOp>(lessEqual(b, rows, smaller),
                                           constantIndex(b, smaller), tile);
  return tile;
}

/// Writes `values(k)` to the elements k, k + 1, ... of one row of a tile that
/// begins at `base`, for all k below `length`.
static void
scatterRow(ImplicitLocOpBuilder &b, int64_t lanes, Value buffer, int64_t length,
           Value base, Value tile, Value row,
           function_ref<Value(ImplicitLocOpBuilder &b, Value k)> values) {
  Value neighbours = laneOffsets(b, lanes, tile);
  auto maskType = VectorType::get({lanes}, b.getI1Type());
  forEach(b, constantIndex(b, 0), constantIndex(b, length), lanes,
          [&](ImplicitLocOpBuilder &b, Value k) {
            Value rest = sub(b, constantIndex(b, length), k);
            Value mask = vector::CreateMaskOp::create(b, maskType, rest);
            Value at = add(b, base, add(b, mul(b, k, tile), row));
            vector::ScatterOp::create(b, Type(), buffer, at, neighbours, mask,
                                      values(b, k));
          });
}

PackedRows RowBlocks::pack(
    ImplicitLocOpBuilder &b, Value rows,
    function_ref<Value(ImplicitLocOpBuilder &b, Value position)> source) const {
  int64_t length = cast<MemRefType>(rows.getType()).getDimSize(1);
  PackedRows packed = allocatePacked(b, length);
  int64_t lanes = level.lanes, maxTile = level.maxTile();
  int64_t tiles = kBlockRows / maxTile;
  auto f32s = VectorType::get({lanes}, b.getF32Type());

  auto packTile = [&](ImplicitLocOpBuilder &b, RowBlock block, Value begin) {
    Value used = min(b, sub(b, block.count, begin), maxTile);
    Value tile = tileFor(b, level, used);
    Value base = mul(b, add(b, block.packed, begin), length);
    forEach(b, used, [&](ImplicitLocOpBuilder &b, Value row) {
      Value from = source(b, add(b, add(b, block.first, begin), row));
      scatterRow(b, lanes, packed.buffer, length, base, tile, row,
                 [&](ImplicitLocOpBuilder &b, Value k) {
                   return vector::TransferReadOp::create(
                       b, f32s, rows, ValueRange{from, k}, constantF32(b, 0),
                       ArrayRef<bool>{length % lanes == 0});
                 });
    });
    // Rows that pad the tile are computed too: zero is never slow.
    forEach(b, used, tile, 1, [&](ImplicitLocOpBuilder &b, Value row) {
      Value zeros = arith::ConstantOp::create(b, b.getZeroAttr(f32s));
      scatterRow(b, lanes, packed.buffer, length, base, tile, row,
                 [&](ImplicitLocOpBuilder &, Value) { return zeros; });
    });
  };
  forEachInParallel(
      b, mul(b, count, tiles), [&](ImplicitLocOpBuilder &b, Value i) {
        RowBlock block = at(b, div(b, i, tiles));
        Value begin = mul(b, rem(b, i, tiles), maxTile);
        branch(b, less(b, begin, block.count),
               [&](ImplicitLocOpBuilder &b) { packTile(b, block, begin); });
      });
  return packed;
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

namespace {

/// The kernels of one work item.
class ItemEmitter {
public:
  using Consumer =
      function_ref<void(ImplicitLocOpBuilder &b, const RowOfPanel &row)>;

  ItemEmitter(const Level &level, RowBlock block, PackedRows packed,
              Value weights, Value sums, Consumer consume)
      : level(level), block(block), packed(packed), weights(weights),
        sums(sums), consume(consume) {}

  /// The panels `begin..end`; `wholeChunk` if there are always kChunkPanels.
  void emit(ImplicitLocOpBuilder &b, Value begin, Value end, bool wholeChunk);

private:
  int64_t panelsAtOnce(int64_t tile) const;
  void emitFewRows(ImplicitLocOpBuilder &b, Value begin, Value end,
                   int64_t tile, bool wholeChunk);
  void emitKernel(ImplicitLocOpBuilder &b, Value begin, Value rows,
                  int64_t tile, Value panel, int64_t numPanels);
  Value getTile(ImplicitLocOpBuilder &b, Value tileBegin, int64_t tile);
  Value getPanels(ImplicitLocOpBuilder &b, Value panel, int64_t numPanels);

  const Level &level;
  RowBlock block;
  PackedRows packed;
  Value weights, sums;
  Consumer consume;
};

} // namespace

/// The number of panels that a tile is multiplied with in one kernel. Few rows
/// leave registers for several panels, which are streams from memory that
/// overlap.
int64_t ItemEmitter::panelsAtOnce(int64_t tile) const {
  int64_t accumulators = tile * kPanelColumns / level.lanes;
  return std::clamp<int64_t>(level.registers / 2 / accumulators, 1,
                             kChunkPanels);
}

/// The packed rows of a tile.
Value ItemEmitter::getTile(ImplicitLocOpBuilder &b, Value tileBegin,
                           int64_t tile) {
  auto weightsType = cast<MemRefType>(weights.getType());
  // bf16 panels are padded in this dimension.
  int64_t in = weightsType.getElementType().isF32()
                   ? weightsType.getDimSize(weightsType.getRank() - 2)
                   : packed.length;
  auto type = MemRefType::get(
      {in, tile}, b.getF32Type(),
      StridedLayoutAttr::get(b.getContext(), ShapedType::kDynamic, {tile, 1}));
  return memref::ReinterpretCastOp::create(
      b, type, packed.buffer, OpFoldResult(mul(b, tileBegin, packed.length)),
      getAsIndexOpFoldResult(b.getContext(), type.getShape()),
      getAsIndexOpFoldResult(b.getContext(), {tile, 1}));
}

/// Panels of the block's group from `panel` on.
Value ItemEmitter::getPanels(ImplicitLocOpBuilder &b, Value panel,
                             int64_t numPanels) {
  auto type = cast<MemRefType>(weights.getType());
  SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(type.getRank(), b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes =
      getAsIndexOpFoldResult(b.getContext(), type.getShape());
  int64_t panelDim = block.group ? 1 : 0;
  if (block.group) {
    offsets[0] = block.group;
    sizes[0] = b.getIndexAttr(1);
  }
  offsets[panelDim] = panel;
  sizes[panelDim] = b.getIndexAttr(numPanels);
  SmallVector<int64_t> shape(type.getShape().drop_front(panelDim));
  shape.front() = numPanels;
  MemRefType view = memref::SubViewOp::inferRankReducedResultType(
      shape, type, offsets, sizes, strides);
  return memref::SubViewOp::create(b, view, weights, offsets, sizes, strides);
}

/// Rows `begin..begin+rows` of the block times `numPanels` panels from `panel`
/// on. The sums go through a small buffer, so that one loop consumes them.
void ItemEmitter::emitKernel(ImplicitLocOpBuilder &b, Value begin, Value rows,
                             int64_t tile, Value panel, int64_t numPanels) {
  int64_t lanes = level.lanes, registers = kPanelColumns / lanes;
  Value tileBegin = add(b, block.packed, begin);
  auto type =
      VectorType::get({numPanels, tile, registers, lanes}, b.getF32Type());
  Value products = PanelMatmulOp::create(b, type, getTile(b, tileBegin, tile),
                                         getPanels(b, panel, numPanels));
  for (int64_t p = 0; p < numPanels; ++p)
    for (int64_t row = 0; row < tile; ++row)
      for (int64_t c = 0; c < registers; ++c) {
        Value sum = vector::ExtractOp::create(b, products,
                                              ArrayRef<int64_t>{p, row, c});
        vector::StoreOp::create(b, sum, sums,
                                ValueRange{constantIndex(b, p * tile + row),
                                           constantIndex(b, c * lanes)});
      }
  auto f32s = VectorType::get({lanes}, b.getF32Type());
  for (int64_t p = 0; p < numPanels; ++p)
    forEach(b, rows, [&](ImplicitLocOpBuilder &b, Value row) {
      RowOfPanel result;
      result.position = add(b, add(b, block.first, begin), row);
      result.panel = add(b, panel, p);
      for (int64_t c = 0; c < registers; ++c)
        result.columns.push_back(vector::LoadOp::create(
            b, f32s, sums,
            ValueRange{add(b, row, p * tile), constantIndex(b, c * lanes)}));
      result.tile = tile;
      result.tileBegin = tileBegin;
      result.rowInTile = row;
      consume(b, result);
    });
}

/// All rows of the block, which are one tile, panels together where they can.
void ItemEmitter::emitFewRows(ImplicitLocOpBuilder &b, Value begin, Value end,
                              int64_t tile, bool wholeChunk) {
  Value zero = constantIndex(b, 0);
  int64_t together = panelsAtOnce(tile);
  Value whole =
      add(b, begin, mul(b, div(b, sub(b, end, begin), together), together));
  forEach(b, begin, whole, together, [&](ImplicitLocOpBuilder &b, Value panel) {
    emitKernel(b, zero, block.count, tile, panel, together);
  });
  if (!wholeChunk && together > 1)
    forEach(b, whole, end, 1, [&](ImplicitLocOpBuilder &b, Value panel) {
      emitKernel(b, zero, block.count, tile, panel, 1);
    });
}

/// Calls `body` with the smallest of `tiles` that holds `rows`.
static void
chooseTile(ImplicitLocOpBuilder &b, Value rows, ArrayRef<int64_t> tiles,
           function_ref<void(ImplicitLocOpBuilder &, int64_t)> body) {
  if (tiles.size() == 1)
    return body(b, tiles.front());
  branch(
      b, lessEqual(b, rows, tiles.front()),
      [&](ImplicitLocOpBuilder &b) { body(b, tiles.front()); },
      [&](ImplicitLocOpBuilder &b) {
        chooseTile(b, rows, tiles.drop_front(), body);
      });
}

void ItemEmitter::emit(ImplicitLocOpBuilder &b, Value begin, Value end,
                       bool wholeChunk) {
  ArrayRef<int64_t> fewTiles = level.tiles.take_while(
      [&](int64_t tile) { return panelsAtOnce(tile) > 1; });
  int64_t maxTile = level.maxTile();
  branch(
      b, lessEqual(b, block.count, fewTiles.back()),
      [&](ImplicitLocOpBuilder &b) {
        chooseTile(b, block.count, fewTiles,
                   [&](ImplicitLocOpBuilder &b, int64_t tile) {
                     emitFewRows(b, begin, end, tile, wholeChunk);
                   });
      },
      [&](ImplicitLocOpBuilder &b) {
        // The panel stays in the cache while all tiles pass it.
        forEach(b, begin, end, 1, [&](ImplicitLocOpBuilder &b, Value panel) {
          forEach(b, constantIndex(b, 0), block.count, maxTile,
                  [&](ImplicitLocOpBuilder &b, Value row) {
                    Value rows = min(b, sub(b, block.count, row), maxTile);
                    chooseTile(b, rows, level.tiles,
                               [&](ImplicitLocOpBuilder &b, int64_t tile) {
                                 emitKernel(b, row, rows, tile, panel, 1);
                               });
                  });
        });
      });
}

void RowBlocks::multiply(
    ImplicitLocOpBuilder &b, PackedRows packed, Value weights,
    function_ref<void(ImplicitLocOpBuilder &b, const RowOfPanel &row)> consume)
    const {
  auto type = cast<MemRefType>(weights.getType());
  int64_t numPanels = type.getDimSize(list ? 1 : 0);
  int64_t chunks = llvm::divideCeil(numPanels, kChunkPanels);
  auto sumsType =
      MemRefType::get({level.maxTile(), kPanelColumns}, b.getF32Type());
  // Chunks outside: threads that take equal shares of the items in order have
  // equal work, whatever the rows of the blocks.
  forEachInParallel(
      b, mul(b, count, chunks), [&](ImplicitLocOpBuilder &b, Value item) {
        Value sums = memref::AllocaOp::create(b, sumsType);
        RowBlock block = at(b, rem(b, item, count));
        Value begin = mul(b, div(b, item, count), kChunkPanels);
        Value end = min(b, add(b, begin, kChunkPanels), numPanels);
        ItemEmitter emitter(level, block, packed, weights, sums, consume);
        emitter.emit(b, begin, end, numPanels % kChunkPanels == 0);
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
