//===- CpuExpandMath.cpp - exp, erf, tanh become arithmetic on registers --===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// exp(x) = 2^n exp(r) with n = round(x / ln 2) and r = x - n ln 2 in
// [-ln 2 / 2, ln 2 / 2] (Cody and Waite: ln 2 in two parts, so that r is exact
// enough); exp(r) is a polynomial of degree 6.
//
// Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the
// sum, from where shifts bring its halves to the exponents' places of two
// factors. Where 2^n would leave even their range, selects take over.
//
// erf(x) and tanh(x) are MLIR's own quotients of polynomials.
//
//===----------------------------------------------------------------------===//

#include "moe/CPU/Passes.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

#include <limits>

namespace mlir::moe {
#define GEN_PASS_DEF_CPUEXPANDMATHPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-expand-math"

using namespace mlir;
using namespace mlir::moe;

/// Below the first the result is 0, above the second infinity.
static constexpr float kLow = -103.98f, kHigh = 88.72283f;
static constexpr float kInverseLn2 = 1.44269504f;
static constexpr float kLn2High = 0.693145751953125f;
static constexpr float kLn2Low = 1.42860677e-6f;
static constexpr float kRound = 12582912.0f;
/// Of r^6, r^5, ..., 1.
static constexpr float kCoefficients[] = {1.37805939e-3f,
                                          8.37312452e-3f,
                                          4.16695364e-2f,
                                          1.66664720e-1f,
                                          4.99999851e-1f,
                                          1.0f,
                                          1.0f};

/// A constant of the type, or all its elements.
static Value constant(ImplicitLocOpBuilder &b, Type type, Attribute value) {
  if (auto vector = dyn_cast<VectorType>(type))
    value = DenseElementsAttr::get(vector, value);
  return arith::ConstantOp::create(b, type, cast<TypedAttr>(value));
}

static Value expand(ImplicitLocOpBuilder &b, Value x) {
  Type f32s = x.getType(), i32s = b.getI32Type();
  if (auto vector = dyn_cast<VectorType>(f32s))
    i32s = vector.clone(i32s);
  auto f32 = [&](float value) {
    return constant(b, f32s, b.getF32FloatAttr(value));
  };
  auto fma = [&](Value x, Value y, Value z) -> Value {
    return math::FmaOp::create(b, x, y, z);
  };

  Value sum = fma(x, f32(kInverseLn2), f32(kRound));
  Value n = arith::SubFOp::create(b, sum, f32(kRound));
  Value r = fma(n, f32(-kLn2High), x);
  r = fma(n, f32(-kLn2Low), r);
  Value power = f32(kCoefficients[0]);
  for (float coefficient : ArrayRef(kCoefficients).drop_front())
    power = fma(power, r, f32(coefficient));

  // Two factors 2^(n/2), so that results below the smallest normal number are
  // rounded to denormal ones.
  auto i32 = [&](int32_t value) {
    return constant(b, i32s, b.getI32IntegerAttr(value));
  };
  Value exponent =
      arith::SubIOp::create(b, arith::BitcastOp::create(b, i32s, sum),
                            i32(llvm::bit_cast<int32_t>(kRound)));
  Value half = arith::ShRSIOp::create(b, exponent, i32(1));
  Value scaled = power;
  for (Value part :
       {half, arith::SubIOp::create(b, exponent, half).getResult()}) {
    Value biased = arith::AddIOp::create(b, part, i32(127));
    Value bits = arith::ShLIOp::create(b, biased, i32(23));
    scaled = arith::MulFOp::create(b, scaled,
                                   arith::BitcastOp::create(b, f32s, bits));
  }

  // Infinity above, and NaN of NaN.
  Value above =
      arith::AddFOp::create(b, x, f32(std::numeric_limits<float>::infinity()));
  Value finite =
      arith::CmpFOp::create(b, arith::CmpFPredicate::OLE, x, f32(kHigh));
  Value result = arith::SelectOp::create(b, finite, scaled, above);
  Value tiny =
      arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, f32(kLow));
  return arith::SelectOp::create(b, tiny, f32(0.0f), result);
}

namespace {

struct ExpandExp final : OpRewritePattern<math::ExpOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(math::ExpOp op,
                                PatternRewriter &rewriter) const override {
    if (!getElementTypeOrSelf(op.getType()).isF32())
      return rewriter.notifyMatchFailure(op, "expected f32");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    rewriter.replaceOp(op, expand(b, op.getOperand()));
    return success();
  }
};

struct CpuExpandMathPass final
    : moe::impl::CpuExpandMathPassBase<CpuExpandMathPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<ExpandExp>(&getContext());
    populatePolynomialApproximateErfPattern(patterns);
    populatePolynomialApproximateTanhPattern(patterns);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
