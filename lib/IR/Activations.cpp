//===- Activations.cpp - Scores and activations as arithmetic -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/IR/Activations.h"

#include "moe/Support/Scalars.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;

static float valueOf(FloatAttr attr) {
  return static_cast<float>(attr.getValueAsDouble());
}

//===----------------------------------------------------------------------===//
// score, weigh
//===----------------------------------------------------------------------===//

/// log(1 + u) of a u that is not negative. Of w = 1 + u rounded it is
/// log(w) * u / (w - 1), or u where w is 1: the rounding of w cancels (Higham,
/// Accuracy and Stability of Numerical Algorithms, section 1.14.1). LLVM has no
/// such function, and math.log1p becomes the logarithm of w.
static Value log1p(ImplicitLocOpBuilder &b, Value u) {
  Value one = constantLike(b, u, 1), w = arith::AddFOp::create(b, one, u);
  Value product = arith::MulFOp::create(b, math::LogOp::create(b, w), u);
  Value quotient =
      arith::DivFOp::create(b, product, arith::SubFOp::create(b, w, one));
  Value isOne = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, w, one);
  return arith::SelectOp::create(b, isOne, u, quotient);
}

Value mlir::moe::emitScore(ImplicitLocOpBuilder &b, ScoreFn fn, Value logit) {
  assert(fn != ScoreFn::Softmax && "depends on other logits");
  Value zero = constantLike(b, logit, 0), one = constantLike(b, logit, 1);
  if (fn == ScoreFn::Relu)
    return arith::MaximumFOp::create(b, logit, zero);
  // Of the absolute value, so that no exponential overflows.
  Value magnitude = math::AbsFOp::create(b, logit);
  Value exp = math::ExpOp::create(b, arith::NegFOp::create(b, magnitude));
  if (fn == ScoreFn::Sigmoid) {
    Value isNegative =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, logit, zero);
    Value numerator = arith::SelectOp::create(b, isNegative, exp, one);
    return arith::DivFOp::create(b, numerator,
                                 arith::AddFOp::create(b, one, exp));
  }
  return math::SqrtOp::create(
      b, arith::AddFOp::create(b, arith::MaximumFOp::create(b, logit, zero),
                               log1p(b, exp)));
}

Value mlir::moe::emitDivisor(ImplicitLocOpBuilder &b, Norm norm, FloatAttr plus,
                             FloatAttr atLeast, Value sum) {
  if (norm == Norm::L2)
    sum = math::SqrtOp::create(b, sum);
  if (plus)
    return arith::AddFOp::create(b, sum, constantLike(b, sum, valueOf(plus)));
  if (atLeast)
    return arith::MaximumFOp::create(b, sum,
                                     constantLike(b, sum, valueOf(atLeast)));
  return sum;
}

//===----------------------------------------------------------------------===//
// glu
//===----------------------------------------------------------------------===//

/// x / (1 + exp(-alpha x))
static Value swish(ImplicitLocOpBuilder &b, Value x, FloatAttr alpha) {
  Value scaled = arith::NegFOp::create(b, x);
  if (alpha)
    scaled =
        arith::MulFOp::create(b, scaled, constantLike(b, x, valueOf(alpha)));
  Value exp = math::ExpOp::create(b, scaled);
  return arith::DivFOp::create(
      b, x, arith::AddFOp::create(b, constantLike(b, x, 1), exp));
}

/// bound * tanh(x / bound)
static Value boundByTanh(ImplicitLocOpBuilder &b, Value x, FloatAttr bound) {
  Value limit = constantLike(b, x, valueOf(bound));
  Value tanh = math::TanhOp::create(b, arith::DivFOp::create(b, x, limit));
  return arith::MulFOp::create(b, limit, tanh);
}

/// x/2 (1 + f)
static Value halfTimes(ImplicitLocOpBuilder &b, Value x, Value f) {
  Value half = arith::MulFOp::create(b, constantLike(b, x, 0.5f), x);
  return arith::MulFOp::create(
      b, half, arith::AddFOp::create(b, constantLike(b, x, 1), f));
}

/// The activation of the gate, without limits.
static Value activate(ImplicitLocOpBuilder &b, const GluClauses &clauses,
                      Value g) {
  switch (clauses.kind) {
  case GluKind::SwiGLU:
  case GluKind::SiLU:
    return swish(b, g, clauses.alpha);
  case GluKind::GeGLU:
  case GluKind::GELU: {
    Value scaled =
        arith::MulFOp::create(b, g, constantLike(b, g, 0.70710678118654752f));
    return halfTimes(b, g, math::ErfOp::create(b, scaled));
  }
  case GluKind::GeGLUTanh:
  case GluKind::GELUTanh: {
    Value cube = arith::MulFOp::create(b, g, arith::MulFOp::create(b, g, g));
    Value inner = arith::AddFOp::create(
        b, g, arith::MulFOp::create(b, constantLike(b, g, 0.044715f), cube));
    Value scaled = arith::MulFOp::create(
        b, constantLike(b, g, 0.79788456080286536f), inner);
    return halfTimes(b, g, math::TanhOp::create(b, scaled));
  }
  case GluKind::ReGLU:
  case GluKind::ReLU:
    return arith::MaximumFOp::create(b, g, constantLike(b, g, 0));
  case GluKind::ReLU2: {
    Value positive = arith::MaximumFOp::create(b, g, constantLike(b, g, 0));
    return arith::MulFOp::create(b, positive, positive);
  }
  case GluKind::SiTU: {
    Value sigmoid = arith::AddFOp::create(
        b, constantLike(b, g, 1),
        math::ExpOp::create(b, arith::NegFOp::create(b, g)));
    return arith::DivFOp::create(b, boundByTanh(b, g, clauses.alpha), sigmoid);
  }
  }
  llvm_unreachable("all kinds are handled");
}

Value mlir::moe::emitGlu(ImplicitLocOpBuilder &b, const GluClauses &clauses,
                         Value gate, Value up) {
  auto limited = [&](Value x) -> Value {
    if (!clauses.limit)
      return x;
    return arith::MinimumFOp::create(
        b, x, constantLike(b, x, valueOf(clauses.limit)));
  };
  Value activated = clauses.post ? limited(activate(b, clauses, gate))
                                 : activate(b, clauses, limited(gate));
  if (!up)
    return activated;
  up = limited(up);
  if (clauses.limit)
    up = arith::MaximumFOp::create(
        b, up, constantLike(b, up, -valueOf(clauses.limit)));
  if (clauses.beta)
    up = boundByTanh(b, up, clauses.beta);
  if (clauses.offset)
    up = arith::AddFOp::create(b, up,
                               constantLike(b, up, valueOf(clauses.offset)));
  return arith::MulFOp::create(b, activated, up);
}
