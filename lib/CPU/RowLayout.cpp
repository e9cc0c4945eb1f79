//===- RowLayout.cpp - How kernels read rows ------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowLayout.h"

#include "Loops.h"
#include "TileKernels.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

Tiles::Tiles(ImplicitLocOpBuilder &b, Value rows, int64_t most) {
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(b,
                                     b.getIntegerAttr(rows.getType(), value));
  };
  Value atLeastOne = b.createOrFold<arith::MaxUIOp>(
      div(b, add(b, rows, constant(most - 1)), constant(most)), constant(1));
  count = atLeastOne;
  least = div(b, rows, count);
  longer = rem(b, rows, count);
}

Value Tiles::rows(ImplicitLocOpBuilder &b, Value i) const {
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
      tileRows(maxFmaRows(level)) {}

Type RowLayout::getElementType(MLIRContext *context) const {
  return Float32Type::get(context);
}

Value RowLayout::roundUpRows(ImplicitLocOpBuilder &, Value rows) const {
  return rows;
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
  Value elements = b.add(b.mul(first, size), b.mul(begin, count));
  return b.at(rows, b.mul(elements, 4));
}

void RowLayout::pack(
    ImplicitLocOpBuilder &b, Value from,
    function_ref<Value(ImplicitLocOpBuilder &b, Value i)> source, Value count,
    Value to, Value first) const {
  int64_t k = cast<MemRefType>(from.getType()).getDimSize(1);
  int64_t size = getRowSize(k), lanes = level.lanes;
  auto f32s = VectorType::get({lanes}, b.getF32Type());
  auto maskType = VectorType::get({lanes}, b.getI1Type());
  Tiles tiles(b, count, tileRows);
  forEach(b, tiles.count, [&](ImplicitLocOpBuilder &b, Value tile) {
    Value begin = tiles.begin(b, tile), rows = tiles.rows(b, tile);
    Value base = add(b, first, mul(b, begin, size));
    Value apart = laneOffsets(b, lanes, rows);
    forEach(b, rows, [&](ImplicitLocOpBuilder &b, Value row) {
      Value position = source(b, add(b, begin, row));
      forEach(b, constantIndex(b, 0), constantIndex(b, size), lanes,
              [&](ImplicitLocOpBuilder &b, Value i) {
                Value values = vector::TransferReadOp::create(
                    b, f32s, from, ValueRange{position, i}, constantF32(b, 0),
                    ArrayRef<bool>{k % lanes == 0});
                if (compute == Compute::BF16) {
                  auto bf16s = VectorType::get({lanes}, b.getBF16Type());
                  values = arith::ExtFOp::create(
                      b, f32s, arith::TruncFOp::create(b, bf16s, values));
                }
                Value rest = sub(b, constantIndex(b, size), i);
                Value mask = vector::CreateMaskOp::create(b, maskType, rest);
                Value at = add(b, add(b, base, row), mul(b, i, rows));
                vector::ScatterOp::create(b, Type(), to, at, apart, mask,
                                          values);
              });
    });
  });
}
