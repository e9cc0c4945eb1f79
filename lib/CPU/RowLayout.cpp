//===- RowLayout.cpp - How kernels read rows ------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowLayout.h"

#include "AmxTiles.h"
#include "DotTiles.h"
#include "Loops.h"
#include "PanelDecoder.h"
#include "Vectors.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

Tiles::Tiles(ImplicitLocOpBuilder &b, Value rows, int64_t most, bool areEqual)
    : all(rows), areEqual(areEqual) {
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(b,
                                     b.getIntegerAttr(rows.getType(), value));
  };
  count = b.createOrFold<arith::MaxUIOp>(
      div(b, add(b, rows, constant(most - 1)), constant(most)), constant(1));
  least = areEqual ? div(b, rows, count) : constant(most);
  longer = areEqual ? rem(b, rows, count) : constant(0);
}

Value Tiles::rows(ImplicitLocOpBuilder &b, Value i) const {
  if (!areEqual)
    return min(b, least, sub(b, all, begin(b, i)));
  Value more = arith::ExtUIOp::create(b, b.getI64Type(), less(b, i, longer));
  if (i.getType().isIndex())
    more = arith::IndexCastOp::create(b, b.getIndexType(), more);
  return add(b, least, more);
}

Value Tiles::begin(ImplicitLocOpBuilder &b, Value i) const {
  return add(b, mul(b, i, least), min(b, i, longer));
}

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

RowLayout::RowLayout(const Level &level, PackFormat format, Compute compute)
    : level(level), format(format), compute(compute),
      tileRows(isAmx()   ? kAmxTileRows
               : isDot() ? maxDotRows(level, format)
                         : maxFmaRows(level)) {}

bool RowLayout::isAmx() const {
  return level.hasTiles && (compute == Compute::BF16 || hasRowScales());
}

bool RowLayout::isDecoded() const {
  return compute != Compute::Int8 && !hasFmaTiles(format);
}

RowLayout::Step RowLayout::getRowStep() const {
  switch (compute) {
  case Compute::F32:
    return {1, 4};
  case Compute::BF16:
    return isAmx() ? Step{kAmxBytes / 2, kAmxBytes} : Step{1, 4};
  case Compute::Int8:
    return hasRowScales() ? Step{kAmxBytes, kAmxBytes}
                          : Step{kScaleGroup, kRowGroupBytes};
  }
  llvm_unreachable("expected a type to compute in");
}

int64_t RowLayout::getStep() const {
  if (isAmx())
    return getRowStep().k;
  return isDot() ? PanelGeometry::get(format).stepInputs : kStep;
}

Value RowLayout::roundUpRows(ImplicitLocOpBuilder &b, Value rows) const {
  if (!isAmx())
    return rows;
  Value last = arith::ConstantOp::create(
      b, b.getIntegerAttr(rows.getType(), kAmxRows - 1));
  Value mask =
      arith::ConstantOp::create(b, b.getIntegerAttr(rows.getType(), -kAmxRows));
  return b.createOrFold<arith::AndIOp>(add(b, rows, last), mask);
}

int64_t RowLayout::getRowBytes(int64_t k) const {
  Step step = getRowStep();
  int64_t padded = llvm::alignTo(k, PanelGeometry::get(format).stepInputs);
  return padded / step.k * step.bytes + getTailBytes();
}

int64_t RowLayout::getPanelBytesPer64() const {
  PanelGeometry panel = PanelGeometry::get(format);
  return panel.getStepBytes() * 64 / panel.stepInputs;
}

Value RowLayout::padded(KernelBuilder &b, Value k) const {
  int64_t step = PanelGeometry::get(format).stepInputs;
  return step > 1 ? b.mul(b.div(b.add(k, step - 1), step), step) : k;
}

Value RowLayout::at(KernelBuilder &b, Value rows, Value k, Value first,
                    Value count, Value begin) const {
  Step step = getRowStep();
  auto bytes = [&](Value k) { return b.mul(b.div(k, step.k), step.bytes); };
  Value rowBytes = b.add(bytes(padded(b, k)), getTailBytes());
  return b.at(rows, b.add(b.mul(first, rowBytes),
                          b.mul(bytes(begin), roundUpRows(b, count))));
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

namespace {

/// Packs rows into one tile.
class TilePacker {
public:
  TilePacker(ImplicitLocOpBuilder &b, const Level &level,
             const RowLayout &layout, Value from, Value to, Value base,
             Value rows);

  /// Packs row `position` of the source as row `row` of the tile.
  void pack(ImplicitLocOpBuilder &b, Value position, Value row);

private:
  Value view(ImplicitLocOpBuilder &b, Type element);
  Value read(ImplicitLocOpBuilder &b, Value position, Value k, int64_t width);
  void packF32(ImplicitLocOpBuilder &b, Value position, Value row);
  void packBF16(ImplicitLocOpBuilder &b, Value position, Value row);
  void packGroups(ImplicitLocOpBuilder &b, Value position, Value row);
  void packInts(ImplicitLocOpBuilder &b, Value position, Value row);
  Value quantize(ImplicitLocOpBuilder &b, Value values, Value inverse,
                 Value &sum);
  void storeDots(ImplicitLocOpBuilder &b, Value ints, Value at, Value row);
  void storeScale(ImplicitLocOpBuilder &b, Value at, Value row, Value max,
                  Value sum);
  Value splat(ImplicitLocOpBuilder &b, Value scalar, int64_t width);

  const Level &level;
  const RowLayout &layout;
  Value from, to, base, rows;
  /// Rows with padding, and elements.
  Value room;
  int64_t k, padded;
};

} // namespace

TilePacker::TilePacker(ImplicitLocOpBuilder &b, const Level &level,
                       const RowLayout &layout, Value from, Value to,
                       Value base, Value rows)
    : level(level), layout(layout), from(from), to(to), base(base), rows(rows),
      room(layout.roundUpRows(b, rows)),
      k(cast<MemRefType>(from.getType()).getDimSize(1)),
      padded(
          llvm::alignTo(k, PanelGeometry::get(layout.getFormat()).stepInputs)) {
}

/// Bytes as elements of another type.
static Value viewAs(ImplicitLocOpBuilder &b, Value bytes, Type element) {
  Value size =
      div(b, dim(b, bytes, 0), int64_t(element.getIntOrFloatBitWidth() / 8));
  return memref::ViewOp::create(
      b, MemRefType::get({ShapedType::kDynamic}, element), bytes,
      constantIndex(b, 0), size);
}

Value TilePacker::view(ImplicitLocOpBuilder &b, Type element) {
  return viewAs(b, to, element);
}

/// `width` elements from `i` on; zeros past the end.
Value TilePacker::read(ImplicitLocOpBuilder &b, Value position, Value i,
                       int64_t width) {
  auto type = VectorType::get({width}, b.getF32Type());
  bool isWhole = padded == k && k % width == 0;
  return vector::TransferReadOp::create(b, type, from, ValueRange{position, i},
                                        constantF32(b, 0),
                                        ArrayRef<bool>{isWhole});
}

Value TilePacker::splat(ImplicitLocOpBuilder &b, Value scalar, int64_t width) {
  return vector::BroadcastOp::create(
      b, VectorType::get({width}, scalar.getType()), scalar);
}

void TilePacker::packF32(ImplicitLocOpBuilder &b, Value position, Value row) {
  int64_t lanes = level.lanes;
  auto f32s = VectorType::get({lanes}, b.getF32Type());
  auto maskType = VectorType::get({lanes}, b.getI1Type());
  Value apart = laneOffsets(b, lanes, rows);
  Value elements = view(b, b.getF32Type()),
        first = add(b, div(b, base, 4), row);
  forEach(b, constantIndex(b, 0), constantIndex(b, padded), lanes,
          [&](ImplicitLocOpBuilder &b, Value i) {
            Value values = read(b, position, i, lanes);
            if (layout.getCompute() == Compute::BF16)
              values =
                  arith::BitcastOp::create(b, f32s, roundToBF16(b, values));
            Value mask = vector::CreateMaskOp::create(
                b, maskType, sub(b, constantIndex(b, padded), i));
            vector::ScatterOp::create(b, Type(), elements,
                                      add(b, first, mul(b, i, rows)), apart,
                                      mask, values);
          });
}

/// Where row `row` is among the registers of AMX, in bytes.
static Value amxRow(ImplicitLocOpBuilder &b, Value row) {
  // [row / 16][16][64 bytes]
  return mul(b, row, kAmxBytes);
}

/// Stores `values` as bf16, from element `at` of `elements` on.
static void storeBF16(ImplicitLocOpBuilder &b, const Level &level, Value values,
                      Value elements, Value at) {
  ArrayRef<int64_t> shape = cast<VectorType>(values.getType()).getShape();
  auto bf16s = VectorType::get(shape, b.getBF16Type());
  Value rounded;
  if (level.emulatesTiles) {
    auto i32s = VectorType::get(shape, b.getI32Type());
    Value sixteens =
        arith::ConstantOp::create(b, DenseElementsAttr::get(i32s, 16));
    Value high = arith::ShRUIOp::create(b, roundToBF16(b, values), sixteens);
    Value halves = arith::TruncIOp::create(
        b, VectorType::get(shape, b.getI16Type()), high);
    rounded = arith::BitcastOp::create(b, bf16s, halves);
  } else {
    rounded = arith::TruncFOp::create(b, bf16s, values);
  }
  vector::StoreOp::create(b, rounded, elements, at);
}

void TilePacker::packBF16(ImplicitLocOpBuilder &b, Value position, Value row) {
  int64_t width = kAmxBytes / 2;
  Value elements = view(b, b.getBF16Type());
  Value first = add(b, base, amxRow(b, row));
  forEach(b, constantIndex(b, 0), constantIndex(b, padded), width,
          [&](ImplicitLocOpBuilder &b, Value i) {
            // Two bytes for each element.
            Value at = add(b, div(b, first, 2), mul(b, i, room));
            storeBF16(b, level, read(b, position, i, width), elements, at);
          });
}

/// round(values * inverse), and their sum, in i8 and i32; 0 for NaN.
Value TilePacker::quantize(ImplicitLocOpBuilder &b, Value values, Value inverse,
                           Value &sum) {
  int64_t width = cast<VectorType>(values.getType()).getNumElements();
  auto i32s = VectorType::get({width}, b.getI32Type());
  auto i8s = VectorType::get({width}, b.getI8Type());
  Value scaled = math::RoundEvenOp::create(
      b, arith::MulFOp::create(b, values, splat(b, inverse, width)));
  Value isNumber =
      arith::CmpFOp::create(b, arith::CmpFPredicate::ORD, scaled, scaled);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(values.getType()));
  Value ints = arith::FPToSIOp::create(
      b, i32s, arith::SelectOp::create(b, isNumber, scaled, zero));
  sum = vector::ReductionOp::create(b, vector::CombiningKind::ADD, ints);
  return arith::TruncIOp::create(b, i8s, ints);
}

/// The largest magnitude; NaN if there is a NaN.
static Value magnitude(ImplicitLocOpBuilder &b, Value values) {
  return vector::ReductionOp::create(b, vector::CombiningKind::MAXIMUMF,
                                     math::AbsFOp::create(b, values));
}

/// 127 / max, or 0 where that may be no number.
static Value inverseOf(ImplicitLocOpBuilder &b, Value max) {
  Value inverse = arith::DivFOp::create(b, constantF32(b, 127), max);
  Value isLarge = arith::CmpFOp::create(b, arith::CmpFPredicate::OGE, max,
                                        constantF32(b, 0x1p-120f));
  return arith::SelectOp::create(b, isLarge, inverse, constantF32(b, 0));
}

/// Stores quads of a row that follow each other, each `room` quads after the
/// one before, from byte `at` on.
void TilePacker::storeDots(ImplicitLocOpBuilder &b, Value ints, Value at,
                           Value row) {
  int64_t quads = cast<VectorType>(ints.getType()).getNumElements() / 4;
  auto words = VectorType::get({quads}, b.getI32Type());
  Value all = arith::ConstantOp::create(
      b, DenseElementsAttr::get(VectorType::get({quads}, b.getI1Type()), true));
  vector::ScatterOp::create(b, Type(), view(b, b.getI32Type()),
                            add(b, div(b, at, 4), row),
                            laneOffsets(b, quads, room), all,
                            vector::BitCastOp::create(b, words, ints));
}

/// Stores the scale of a row with this largest magnitude, and the correction
/// for this sum of its integers, behind byte `at`.
void TilePacker::storeScale(ImplicitLocOpBuilder &b, Value at, Value row,
                            Value max, Value sum) {
  double unit = getUnit(layout.getFormat()) / 127;
  Value scale = arith::MulFOp::create(b, max, constantF32(b, unit));
  Value number = add(b, div(b, at, 4), row);
  store(b, scale, view(b, b.getF32Type()), number);
  Value zeroPoint = constantI32(b, -getZeroPoint(level, layout.getFormat()));
  store(b, arith::MulIOp::create(b, sum, zeroPoint), view(b, b.getI32Type()),
        add(b, number, room));
}

void TilePacker::packGroups(ImplicitLocOpBuilder &b, Value position,
                            Value row) {
  forEach(b, constantIndex(b, 0), constantIndex(b, padded), kScaleGroup,
          [&](ImplicitLocOpBuilder &b, Value i) {
            Value values = read(b, position, i, kScaleGroup);
            Value max = magnitude(b, values), sum;
            Value ints = quantize(b, values, inverseOf(b, max), sum);
            Value at = add(
                b, base,
                mul(b, mul(b, div(b, i, kScaleGroup), rows), kRowGroupBytes));
            storeDots(b, ints, at, row);
            storeScale(b, add(b, at, mul(b, rows, kScaleGroup)), row, max, sum);
          });
}

void TilePacker::packInts(ImplicitLocOpBuilder &b, Value position, Value row) {
  constexpr int64_t kWidth = 32;
  Value zero = constantIndex(b, 0), end = constantIndex(b, padded);
  Value none = arith::ConstantOp::create(
      b, b.getZeroAttr(VectorType::get({kWidth}, b.getF32Type())));
  auto largest =
      forLoop(b, zero, end, kWidth, none,
              [&](ImplicitLocOpBuilder &b, Value i,
                  ValueRange max) -> SmallVector<Value> {
                Value values =
                    math::AbsFOp::create(b, read(b, position, i, kWidth));
                return {arith::MaximumFOp::create(b, max[0], values)};
              });
  Value max = magnitude(b, largest.getResult(0));
  Value inverse = inverseOf(b, max);
  auto sums = forLoop(
      b, zero, end, kWidth, constantI32(b, 0),
      [&](ImplicitLocOpBuilder &b, Value i,
          ValueRange carried) -> SmallVector<Value> {
        Value sum;
        Value ints = quantize(b, read(b, position, i, kWidth), inverse, sum);
        if (layout.isAmx()) {
          Value at = add(b, add(b, base, amxRow(b, row)),
                         mul(b, mul(b, div(b, i, kAmxBytes), kAmxBytes), room));
          vector::StoreOp::create(b, ints, to,
                                  add(b, at, rem(b, i, kAmxBytes)));
        } else {
          storeDots(b, ints, add(b, base, mul(b, i, room)), row);
        }
        return {arith::AddIOp::create(b, carried[0], sum)};
      });
  storeScale(b, add(b, base, mul(b, room, padded)), row, max,
             sums.getResult(0));
}

void TilePacker::pack(ImplicitLocOpBuilder &b, Value position, Value row) {
  if (layout.hasRowScales())
    packInts(b, position, row);
  else if (layout.isDot())
    packGroups(b, position, row);
  else if (layout.isAmx())
    packBF16(b, position, row);
  else
    packF32(b, position, row);
}

void RowLayout::pack(
    ImplicitLocOpBuilder &b, Value from,
    function_ref<Value(ImplicitLocOpBuilder &b, Value i)> source, Value count,
    Value to, Value first) const {
  int64_t size = getRowBytes(cast<MemRefType>(from.getType()).getDimSize(1));
  Tiles tiles = getTiles(b, count);
  forEach(b, tiles.count, [&](ImplicitLocOpBuilder &b, Value tile) {
    Value begin = tiles.begin(b, tile), rows = tiles.rows(b, tile);
    TilePacker packer(b, level, *this, from, to,
                      add(b, first, mul(b, begin, size)), rows);
    forEach(b, rows, [&](ImplicitLocOpBuilder &b, Value row) {
      packer.pack(b, source(b, add(b, begin, row)), row);
    });
  });
}

bool RowLayout::canStoreColumns(int64_t k) const {
  // A scale is known when the row is.
  return isAmx() && compute == Compute::BF16 &&
         k % PanelGeometry::get(format).stepInputs == 0;
}

void RowLayout::storeColumns(ImplicitLocOpBuilder &b, ValueRange columns,
                             int64_t k, Value count, Value row, Value column,
                             Value to, Value first) const {
  constexpr int64_t kWidth = kAmxBytes / 2;
  Tiles tiles = getTiles(b, count);
  Value tile = div(b, row, tileRows), begin = tiles.begin(b, tile);
  Value room = roundUpRows(b, tiles.rows(b, tile));
  Value base = add(b, first, mul(b, begin, getRowBytes(k)));
  Value rowAt = add(b, base, amxRow(b, sub(b, row, begin)));
  Value elements = viewAs(b, to, b.getBF16Type());
  for (Value values : columns) {
    Value step = mul(b, mul(b, div(b, column, kWidth), kAmxBytes), room);
    Value at = add(b, div(b, add(b, rowAt, step), 2), rem(b, column, kWidth));
    storeBF16(b, level, values, elements, at);
    column = add(b, column, level.lanes);
  }
}
