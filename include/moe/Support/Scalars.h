//===- Scalars.h - Short names for scalar IR --------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builders for the scalar and index arithmetic that loop nests are made of.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_SUPPORT_SCALARS_H
#define MOE_SUPPORT_SCALARS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::moe {

inline Value constantIndex(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

inline Value constantI32(ImplicitLocOpBuilder &b, int32_t value) {
  return arith::ConstantIntOp::create(b, value, /*width=*/32);
}

inline Value constantF32(ImplicitLocOpBuilder &b, float value) {
  return arith::ConstantOp::create(b, b.getF32FloatAttr(value));
}

/// An f32, or all lanes of a vector, of the type of `like`.
inline Value constantLike(ImplicitLocOpBuilder &b, Value like, float value) {
  TypedAttr attr = b.getF32FloatAttr(value);
  if (auto vector = dyn_cast<VectorType>(like.getType()))
    attr = DenseElementsAttr::get(vector, attr);
  return arith::ConstantOp::create(b, attr);
}

inline Value toIndex(ImplicitLocOpBuilder &b, Value i32) {
  return arith::IndexCastOp::create(b, b.getIndexType(), i32);
}

inline Value toI32(ImplicitLocOpBuilder &b, Value index) {
  return arith::IndexCastOp::create(b, b.getI32Type(), index);
}

/// `value` in f32; weights may be bf16.
inline Value toF32(ImplicitLocOpBuilder &b, Value value) {
  if (value.getType().isF32())
    return value;
  return arith::ExtFOp::create(b, b.getF32Type(), value);
}

/// `for i = lower to upper step step`, carrying `inits`; `body(b, i, carried)`
/// returns the values of the next iteration.
template <typename Body>
scf::ForOp forLoop(ImplicitLocOpBuilder &b, Value lower, Value upper,
                   int64_t step, ValueRange inits, Body body) {
  return scf::ForOp::create(
      b, lower, upper, constantIndex(b, step), inits,
      [&](OpBuilder &nested, Location loc, Value i, ValueRange carried) {
        ImplicitLocOpBuilder inner(loc, nested);
        SmallVector<Value> next = body(inner, i, carried);
        scf::YieldOp::create(inner, next);
      });
}

/// The same in steps of 1.
template <typename Body>
scf::ForOp forLoop(ImplicitLocOpBuilder &b, Value lower, Value upper,
                   ValueRange inits, Body body) {
  return forLoop(b, lower, upper, /*step=*/1, inits, body);
}

} // namespace mlir::moe

#endif // MOE_SUPPORT_SCALARS_H
