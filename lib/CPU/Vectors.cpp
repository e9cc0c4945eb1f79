//===- Vectors.cpp - Short names for vector code --------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Vectors.h"

#include "Loops.h"

#include <numeric>

using namespace mlir;
using namespace mlir::moe;

VectorType mlir::moe::f32s(ImplicitLocOpBuilder &b, int64_t lanes) {
  return VectorType::get({lanes}, b.getF32Type());
}

Value mlir::moe::zeros(ImplicitLocOpBuilder &b, int64_t lanes) {
  return arith::ConstantOp::create(b, b.getZeroAttr(f32s(b, lanes)));
}

Value mlir::moe::splat(ImplicitLocOpBuilder &b, Value scalar, int64_t lanes) {
  auto type = VectorType::get({lanes}, scalar.getType());
  return vector::BroadcastOp::create(b, type, scalar);
}

Value mlir::moe::fma(ImplicitLocOpBuilder &b, Value x, Value y, Value z) {
  return math::FmaOp::create(b, x, y, z);
}

Value mlir::moe::roundToBF16(ImplicitLocOpBuilder &b, Value values) {
  auto f32s = cast<VectorType>(values.getType());
  auto i32s = VectorType::get(f32s.getShape(), b.getI32Type());
  auto splat = [&](int32_t value) -> Value {
    return arith::ConstantOp::create(b, DenseElementsAttr::get(i32s, value));
  };
  Value bits = arith::BitcastOp::create(b, i32s, values);
  Value isOdd = arith::AndIOp::create(
      b, arith::ShRUIOp::create(b, bits, splat(16)), splat(1));
  Value carried = arith::AddIOp::create(
      b, arith::AddIOp::create(b, bits, splat(0x7fff)), isOdd);
  Value isNumber =
      arith::CmpFOp::create(b, arith::CmpFPredicate::ORD, values, values);
  Value quiet = arith::OrIOp::create(b, bits, splat(0x00400000));
  Value rounded = arith::SelectOp::create(b, isNumber, carried, quiet);
  return arith::AndIOp::create(b, rounded, splat(0xffff0000));
}

Value mlir::moe::firstLanes(ImplicitLocOpBuilder &b, int64_t lanes,
                            int64_t count) {
  SmallVector<bool> bits(lanes, false);
  std::fill_n(bits.begin(), count, true);
  auto type = VectorType::get({lanes}, b.getI1Type());
  return arith::ConstantOp::create(b, DenseElementsAttr::get(type, bits));
}

Value mlir::moe::loadLanes(ImplicitLocOpBuilder &b, int64_t lanes, Value buffer,
                           ValueRange at, int64_t count) {
  if (count == lanes)
    return vector::LoadOp::create(b, f32s(b, lanes), buffer, at);
  return vector::MaskedLoadOp::create(b, f32s(b, lanes), buffer, at,
                                      firstLanes(b, lanes, count),
                                      zeros(b, lanes));
}

void mlir::moe::storeLanes(ImplicitLocOpBuilder &b, Value vector, Value buffer,
                           ValueRange at, int64_t count) {
  int64_t lanes = cast<VectorType>(vector.getType()).getNumElements();
  if (count == lanes)
    vector::StoreOp::create(b, vector, buffer, at);
  else
    vector::MaskedStoreOp::create(b, buffer, at, firstLanes(b, lanes, count),
                                  vector);
}

void mlir::moe::forEachRegister(
    ImplicitLocOpBuilder &b, int64_t lanes, int64_t size,
    function_ref<void(ImplicitLocOpBuilder &b, Value d, int64_t count)> body) {
  int64_t whole = size / lanes * lanes;
  if (whole)
    forEach(b, constantIndex(b, 0), constantIndex(b, whole), lanes,
            [&](ImplicitLocOpBuilder &b, Value d) { body(b, d, lanes); });
  if (whole != size)
    body(b, constantIndex(b, whole), size - whole);
}

/// Combines the upper half with the lower half until `lanes` lanes are left.
static Value fold(ImplicitLocOpBuilder &b, int64_t lanes, Value vector,
                  function_ref<Value(Value low, Value high)> combine) {
  int64_t size = cast<VectorType>(vector.getType()).getNumElements();
  for (; size > lanes; size /= 2) {
    SmallVector<int64_t> low(size / 2);
    std::iota(low.begin(), low.end(), 0);
    SmallVector<int64_t> high =
        llvm::map_to_vector(low, [&](int64_t lane) { return lane + size / 2; });
    vector = combine(vector::ShuffleOp::create(b, vector, vector, low),
                     vector::ShuffleOp::create(b, vector, vector, high));
  }
  return vector;
}

Value mlir::moe::foldTo(ImplicitLocOpBuilder &b, int64_t lanes, Value vector) {
  return fold(b, lanes, vector, [&](Value low, Value high) -> Value {
    return arith::AddFOp::create(b, low, high);
  });
}

Value mlir::moe::maxLane(ImplicitLocOpBuilder &b, Value vector) {
  // What maxps does, which maximumf with its NaN is not.
  Value max = fold(b, 1, vector, [&](Value low, Value high) -> Value {
    Value isLarger =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, low, high);
    return arith::SelectOp::create(b, isLarger, low, high);
  });
  return vector::ExtractOp::create(b, max, 0);
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

Value mlir::moe::sumEach(ImplicitLocOpBuilder &b, ValueRange vectors) {
  Value first = addUnpacked(b, vectors[0], vectors[1], /*pairs=*/false);
  Value second = addUnpacked(b, vectors[2], vectors[3], /*pairs=*/false);
  return foldTo(b, 4, addUnpacked(b, first, second, /*pairs=*/true));
}
