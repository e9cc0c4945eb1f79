//===- Candidate.h - The order in which keys are preferred ------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_LOWER_CANDIDATE_H
#define MOE_LIB_LOWER_CANDIDATE_H

#include "moe/Support/Scalars.h"

#include <limits>

namespace mlir::moe {

/// An f32 as an i32 that is the greater the more it is preferred: numbers in
/// order, then NaN.
inline Value preference(ImplicitLocOpBuilder &b, Value key) {
  // -0 + 0 = +0, so that zeros of both signs tie.
  Value zero = constantF32(b, 0);
  Value positive = arith::AddFOp::create(b, key, zero);
  Value bits = arith::BitcastOp::create(b, b.getI32Type(), positive);
  Value flipped = arith::XOrIOp::create(
      b, bits, constantI32(b, std::numeric_limits<int32_t>::max()));
  Value isNegative = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, bits,
                                           constantI32(b, 0));
  Value ordered = arith::SelectOp::create(b, isNegative, flipped, bits);
  Value isNaN = arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, key, key);
  return arith::SelectOp::create(
      b, isNaN, constantI32(b, std::numeric_limits<int32_t>::min()), ordered);
}

/// Folds an f32 key and an index into an i64 that is the greater the more it is
/// preferred: by descending key, then ascending index; NaN is least.
inline Value candidate(ImplicitLocOpBuilder &b, Value key, Value index) {
  Type i64 = b.getI64Type();
  Value high = arith::ShLIOp::create(
      b, arith::ExtSIOp::create(b, i64, preference(b, key)),
      arith::ConstantIntOp::create(b, 32, 64));
  Value low = arith::SubIOp::create(
      b, constantI32(b, std::numeric_limits<int32_t>::max()), toI32(b, index));
  return arith::OrIOp::create(b, high, arith::ExtUIOp::create(b, i64, low));
}

/// The index in a candidate, as i32.
inline Value indexOf(ImplicitLocOpBuilder &b, Value candidate) {
  Value low = arith::TruncIOp::create(b, b.getI32Type(), candidate);
  return arith::SubIOp::create(
      b, constantI32(b, std::numeric_limits<int32_t>::max()), low);
}

} // namespace mlir::moe

#endif // MOE_LIB_LOWER_CANDIDATE_H
