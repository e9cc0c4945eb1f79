//===- RowBlocks.cpp - Products of blocks of rows with packed weights -----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowBlocks.h"

#include "Loops.h"

#include "moe/IR/Packing.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;

/// Rows of a block: its packed rows stay in L2 while a panel is in use. A
/// multiple of every largest tile.
static constexpr int64_t kBlockRows = 96;

/// The least number of panels of a work item, each a stream from memory of its
/// own, and the number of items to strive for.
static constexpr int64_t kMinChunkPanels = 4, kItems = 128;

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

PackedRows RowBlocks::pack(
    ImplicitLocOpBuilder &b, Value rows,
    function_ref<Value(ImplicitLocOpBuilder &b, Value position)> source) const {
  int64_t length = cast<MemRefType>(rows.getType()).getDimSize(1);
  int64_t lanes = level.lanes, maxTile = level.maxTile();
  int64_t tiles = kBlockRows / maxTile;
  auto f32s = VectorType::get({lanes}, b.getF32Type());
  auto maskType = VectorType::get({lanes}, b.getI1Type());
  PackedRows packed = allocatePacked(b, length);

  auto packTile = [&](ImplicitLocOpBuilder &b, RowBlock block, Value begin) {
    Value used = min(b, sub(b, block.count, begin), maxTile);
    Value tile = tileFor(b, level, used);
    Value base = mul(b, add(b, block.packed, begin), length);
    Value apart = laneOffsets(b, lanes, tile);
    // Rows inside: the registers of all rows go to the same cache lines.
    forEach(
        b, constantIndex(b, 0), constantIndex(b, length), lanes,
        [&](ImplicitLocOpBuilder &b, Value k) {
          Value rest = sub(b, constantIndex(b, length), k);
          Value mask = vector::CreateMaskOp::create(b, maskType, rest);
          Value at = add(b, base, mul(b, k, tile));
          auto scatter = [&](ImplicitLocOpBuilder &b, Value row, Value values) {
            vector::ScatterOp::create(b, Type(), packed.buffer, add(b, at, row),
                                      apart, mask, values);
          };
          forEach(b, used, [&](ImplicitLocOpBuilder &b, Value row) {
            Value from = source(b, add(b, add(b, block.first, begin), row));
            scatter(b, row,
                    vector::TransferReadOp::create(
                        b, f32s, rows, ValueRange{from, k}, constantF32(b, 0),
                        ArrayRef<bool>{length % lanes == 0}));
          });
          // Rows that pad the tile are computed too: zero is never slow.
          Value zeros = arith::ConstantOp::create(b, b.getZeroAttr(f32s));
          forEach(b, used, tile, 1, [&](ImplicitLocOpBuilder &b, Value row) {
            scatter(b, row, zeros);
          });
        });
  };
  forEachInParallel(
      b, mul(b, count, tiles), maxTile * length,
      [&](ImplicitLocOpBuilder &b, Value i) {
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

/// What a kernel prefetches: `stride` elements of `ahead` per step, from `from`
/// on.
struct Prefetch {
  Value ahead, from, stride;
};

/// The kernels of one work item: a block of rows times the panels `begin..end`.
class ItemEmitter {
public:
  using Consumer =
      function_ref<void(ImplicitLocOpBuilder &b, const RowOfPanel &row)>;

  ItemEmitter(const Level &level, RowBlock block, Value begin, Value end,
              PackedRows packed, Value weights, Value sums, Consumer consume)
      : level(level), block(block), begin(begin), end(end), packed(packed),
        weights(weights), weightsType(cast<MemRefType>(weights.getType())),
        sums(sums), consume(consume) {}

  /// `following` is the group of the next item, which has the same panels.
  void emit(ImplicitLocOpBuilder &b, Value following);

private:
  int64_t panelDim() const { return block.group ? 1 : 0; }
  int64_t panelsAtOnce(int64_t tile) const;
  void emitFewRows(ImplicitLocOpBuilder &b, int64_t tile);
  void emitManyRows(ImplicitLocOpBuilder &b, Value following);
  void emitKernel(ImplicitLocOpBuilder &b, Value row, Value rows, int64_t tile,
                  Value panel, int64_t numPanels, Prefetch prefetch = {});
  Value getTile(ImplicitLocOpBuilder &b, Value tileBegin, int64_t tile);
  Value getPanels(ImplicitLocOpBuilder &b, Value panel, int64_t numPanels);
  Value nextPanel(ImplicitLocOpBuilder &b, Value panel, Value following);

  const Level &level;
  RowBlock block;
  Value begin, end;
  PackedRows packed;
  Value weights;
  MemRefType weightsType;
  Value sums;
  Consumer consume;
};

} // namespace

/// The number of panels that a tile is multiplied with in one kernel. Few rows
/// leave registers for several panels, which are streams from memory that
/// overlap.
int64_t ItemEmitter::panelsAtOnce(int64_t tile) const {
  int64_t accumulators = tile * kPanelColumns / level.lanes;
  return std::clamp<int64_t>(level.registers / 2 / accumulators, 1,
                             kMinChunkPanels);
}

/// The packed rows of a tile.
Value ItemEmitter::getTile(ImplicitLocOpBuilder &b, Value tileBegin,
                           int64_t tile) {
  // bf16 panels are padded in this dimension.
  int64_t in = weightsType.getElementType().isF32()
                   ? weightsType.getDimSize(panelDim() + 1)
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
  int64_t rank = weightsType.getRank();
  SmallVector<OpFoldResult> offsets(rank, b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(rank, b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes =
      getAsIndexOpFoldResult(b.getContext(), weightsType.getShape());
  if (block.group) {
    offsets[0] = block.group;
    sizes[0] = b.getIndexAttr(1);
  }
  offsets[panelDim()] = panel;
  sizes[panelDim()] = b.getIndexAttr(numPanels);
  SmallVector<int64_t> shape(weightsType.getShape().drop_front(panelDim()));
  shape.front() = numPanels;
  MemRefType view = memref::SubViewOp::inferRankReducedResultType(
      shape, weightsType, offsets, sizes, strides);
  return memref::SubViewOp::create(b, view, weights, offsets, sizes, strides);
}

/// The panel that is needed after `panel`, counted over all groups.
Value ItemEmitter::nextPanel(ImplicitLocOpBuilder &b, Value panel,
                             Value following) {
  int64_t numPanels = weightsType.getDimSize(panelDim());
  Value next = add(b, panel, 1);
  if (!block.group)
    return min(b, next, numPanels - 1);
  Value within = less(b, next, end);
  Value group = arith::SelectOp::create(b, within, block.group, following);
  next = arith::SelectOp::create(b, within, next, begin);
  return add(b, mul(b, group, numPanels), next);
}

/// Rows `row..row+rows` of the block times `numPanels` panels from `panel` on.
/// The sums go through a small buffer, so that one loop consumes them.
void ItemEmitter::emitKernel(ImplicitLocOpBuilder &b, Value row, Value rows,
                             int64_t tile, Value panel, int64_t numPanels,
                             Prefetch prefetch) {
  int64_t lanes = level.lanes, registers = kPanelColumns / lanes;
  Value tileBegin = add(b, block.packed, row);
  auto type =
      VectorType::get({numPanels, tile, registers, lanes}, b.getF32Type());
  Value products = PanelMatmulOp::create(
      b, type, getTile(b, tileBegin, tile), getPanels(b, panel, numPanels),
      prefetch.ahead, prefetch.from, prefetch.stride);
  for (int64_t p = 0; p < numPanels; ++p)
    for (int64_t i = 0; i < tile; ++i)
      for (int64_t c = 0; c < registers; ++c) {
        Value sum =
            vector::ExtractOp::create(b, products, ArrayRef<int64_t>{p, i, c});
        vector::StoreOp::create(b, sum, sums,
                                ValueRange{constantIndex(b, p * tile + i),
                                           constantIndex(b, c * lanes)});
      }
  auto f32s = VectorType::get({lanes}, b.getF32Type());
  for (int64_t p = 0; p < numPanels; ++p)
    forEach(b, rows, [&](ImplicitLocOpBuilder &b, Value i) {
      RowOfPanel result;
      result.position = add(b, add(b, block.first, row), i);
      result.panel = add(b, panel, p);
      for (int64_t c = 0; c < registers; ++c)
        result.columns.push_back(vector::LoadOp::create(
            b, f32s, sums,
            ValueRange{add(b, i, p * tile), constantIndex(b, c * lanes)}));
      result.tile = tile;
      result.tileBegin = tileBegin;
      result.rowInTile = i;
      consume(b, result);
    });
}

/// The block is one tile, which is multiplied with several panels at once.
void ItemEmitter::emitFewRows(ImplicitLocOpBuilder &b, int64_t tile) {
  Value zero = constantIndex(b, 0);
  int64_t together = panelsAtOnce(tile);
  Value whole = sub(b, end, rem(b, sub(b, end, begin), together));
  forEach(b, begin, whole, together, [&](ImplicitLocOpBuilder &b, Value panel) {
    emitKernel(b, zero, block.count, tile, panel, together);
  });
  if (weightsType.getDimSize(panelDim()) % together != 0)
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

/// Each panel stays in the cache while all tiles pass it; each tile prefetches
/// its share of the next panel meanwhile.
void ItemEmitter::emitManyRows(ImplicitLocOpBuilder &b, Value following) {
  int64_t maxTile = level.maxTile();
  auto all = llvm::to_vector<2>(llvm::seq<int64_t>(0, weightsType.getRank()));
  Value flat = memref::CollapseShapeOp::create(
      b, weights, SmallVector<ReassociationIndices>{all});
  int64_t panelSize = ShapedType::getNumElements(
      weightsType.getShape().drop_front(panelDim() + 1));
  Value tiles = div(b, add(b, block.count, maxTile - 1), maxTile);
  Value stride = div(b, constantIndex(b, kPanelColumns), tiles);
  Value share = mul(b, stride, packed.length);

  forEach(b, begin, end, 1, [&](ImplicitLocOpBuilder &b, Value panel) {
    Value next = mul(b, nextPanel(b, panel, following), panelSize);
    forEach(b, tiles, [&](ImplicitLocOpBuilder &b, Value i) {
      Value row = mul(b, i, maxTile);
      Value rows = min(b, sub(b, block.count, row), maxTile);
      Prefetch prefetch = {flat, add(b, next, mul(b, i, share)), stride};
      chooseTile(b, rows, level.tiles,
                 [&](ImplicitLocOpBuilder &b, int64_t tile) {
                   emitKernel(b, row, rows, tile, panel, 1, prefetch);
                 });
    });
  });
}

void ItemEmitter::emit(ImplicitLocOpBuilder &b, Value following) {
  ArrayRef<int64_t> fewTiles = level.tiles.take_while(
      [&](int64_t tile) { return panelsAtOnce(tile) > 1; });
  branch(
      b, lessEqual(b, block.count, fewTiles.back()),
      [&](ImplicitLocOpBuilder &b) {
        chooseTile(b, block.count, fewTiles,
                   [&](ImplicitLocOpBuilder &b, int64_t tile) {
                     emitFewRows(b, tile);
                   });
      },
      [&](ImplicitLocOpBuilder &b) { emitManyRows(b, following); });
}

void RowBlocks::multiply(
    ImplicitLocOpBuilder &b, PackedRows packed, Value weights,
    function_ref<void(ImplicitLocOpBuilder &b, const RowOfPanel &row)> consume)
    const {
  auto type = cast<MemRefType>(weights.getType());
  int64_t numPanels = type.getDimSize(list ? 1 : 0);
  // As few chunks as give enough items: a thread keeps its rows in its cache.
  Value some = max(b, count, 1);
  Value wanted = min(b, divUp(b, constantIndex(b, kItems), some),
                     llvm::divideCeil(numPanels, kMinChunkPanels));
  Value chunkPanels = roundUp(b, divUp(b, constantIndex(b, numPanels), wanted),
                              kMinChunkPanels);
  Value chunks = divUp(b, constantIndex(b, numPanels), chunkPanels);
  auto sumsType =
      MemRefType::get({level.maxTile(), kPanelColumns}, b.getF32Type());
  // Blocks inside: threads that take equal shares of the items in order have
  // equal work, whatever the rows of the blocks.
  int64_t work = kMinChunkPanels * kPanelColumns * packed.length;
  forEachInParallel(
      b, mul(b, count, chunks), work, [&](ImplicitLocOpBuilder &b, Value item) {
        Value sums = memref::AllocaOp::create(b, sumsType);
        Value i = rem(b, item, count);
        Value last = sub(b, count, constantIndex(b, 1));
        Value following = at(b, min(b, add(b, i, 1), last)).group;
        Value begin = mul(b, div(b, item, count), chunkPanels);
        Value end = min(b, add(b, begin, chunkPanels), numPanels);
        ItemEmitter(level, at(b, i), begin, end, packed, weights, sums, consume)
            .emit(b, following);
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
