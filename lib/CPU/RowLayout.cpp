//===- RowLayout.cpp - How kernels read rows ------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowLayout.h"

#include "AmxTiles.h"
#include "Loops.h"

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
      tileRows(isAmx() ? kAmxTileRows : maxFmaRows(level)) {}

Value RowLayout::roundUpRows(ImplicitLocOpBuilder &b, Value rows) const {
  return isAmx() ? roundUp(b, rows, kAmxRows) : rows;
}

Type RowLayout::getElementType(MLIRContext *context) const {
  return isAmx() ? Type(BFloat16Type::get(context))
                 : Type(Float32Type::get(context));
}

int64_t RowLayout::getRowSize(int64_t k) const {
  return llvm::alignTo(k, PanelGeometry::get(format).stepInputs);
}

int64_t RowLayout::getPanelBytesPerK() const {
  PanelGeometry panel = PanelGeometry::get(format);
  return panel.getStepBytes() / panel.stepInputs;
}

Value RowLayout::at(KernelBuilder &b, Value rows, Value k, Value first,
                    Value count, Value begin) const {
  Value size = k; // Of a packed row.
  if (int64_t step = PanelGeometry::get(format).stepInputs; step > 1)
    size = b.mul(b.div(b.add(k, step - 1), step), step);
  if (isAmx())
    count = b.mul(b.div(b.add(count, kAmxRows - 1), kAmxRows), kAmxRows);
  Value elements = b.add(b.mul(first, size), b.mul(begin, count));
  Type element = getElementType(b.getContext());
  return b.at(rows, b.mul(elements, element.getIntOrFloatBitWidth() / 8));
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

/// Packs row `position` of `from` as row `row` of a tile of `rows` rows that
/// begins at `to[base]`.
void RowLayout::packRow(ImplicitLocOpBuilder &b, Value from, Value position,
                        Value to, Value base, Value row, Value rows) const {
  int64_t k = cast<MemRefType>(from.getType()).getDimSize(1);
  int64_t size = getRowSize(k);
  int64_t width = isAmx() ? kAmxBytes / 2 : level.lanes;
  auto f32s = VectorType::get({width}, b.getF32Type());
  auto bf16s = VectorType::get({width}, b.getBF16Type());
  auto maskType = VectorType::get({width}, b.getI1Type());
  auto read = [&](ImplicitLocOpBuilder &b, Value i) -> Value {
    Value values = vector::TransferReadOp::create(
        b, f32s, from, ValueRange{position, i}, constantF32(b, 0),
        ArrayRef<bool>{k % width == 0});
    return compute == Compute::BF16
               ? arith::TruncFOp::create(b, bf16s, values).getResult()
               : values;
  };
  if (isAmx()) {
    Value registers = div(b, add(b, rows, kAmxRows - 1), kAmxRows);
    Value inStep = add(b, mul(b, div(b, row, kAmxRows), kAmxRows * width),
                       mul(b, rem(b, row, kAmxRows), width));
    Value stepSize = mul(b, registers, kAmxRows);
    forEach(b, constantIndex(b, 0), constantIndex(b, size), width,
            [&](ImplicitLocOpBuilder &b, Value i) {
              Value at = add(b, add(b, base, inStep), mul(b, i, stepSize));
              vector::StoreOp::create(b, read(b, i), to, at);
            });
    return;
  }
  Value apart = laneOffsets(b, width, rows);
  forEach(b, constantIndex(b, 0), constantIndex(b, size), width,
          [&](ImplicitLocOpBuilder &b, Value i) {
            Value values = read(b, i);
            if (compute == Compute::BF16)
              values = arith::ExtFOp::create(b, f32s, values);
            Value rest = sub(b, constantIndex(b, size), i);
            Value mask = vector::CreateMaskOp::create(b, maskType, rest);
            Value at = add(b, add(b, base, row), mul(b, i, rows));
            vector::ScatterOp::create(b, Type(), to, at, apart, mask, values);
          });
}

void RowLayout::pack(
    ImplicitLocOpBuilder &b, Value from,
    function_ref<Value(ImplicitLocOpBuilder &b, Value i)> source, Value count,
    Value to, Value first) const {
  int64_t size = getRowSize(cast<MemRefType>(from.getType()).getDimSize(1));
  Tiles tiles = getTiles(b, count);
  forEach(b, tiles.count, [&](ImplicitLocOpBuilder &b, Value tile) {
    Value begin = tiles.begin(b, tile), rows = tiles.rows(b, tile);
    Value base = add(b, first, mul(b, begin, size));
    forEach(b, rows, [&](ImplicitLocOpBuilder &b, Value row) {
      packRow(b, from, source(b, add(b, begin, row)), to, base, row, rows);
    });
  });
}
