//===- LowerTraining.cpp - aux_loss, bias_update, noise to loops ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each op alone, on tensors, one scalar after the other.
//
//===----------------------------------------------------------------------===//

#include "Linalg.h"

#include "moe/IR/MoE.h"
#include "moe/Lower/Passes.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

#include <limits>

#define DEBUG_TYPE "moe-lower-training"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERTRAININGPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

/// An index as f32.
static Value toFloat(ImplicitLocOpBuilder &b, Value index) {
  return arith::SIToFPOp::create(b, b.getF32Type(), toI32(b, index));
}

static Value square(ImplicitLocOpBuilder &b, Value x) {
  return arith::MulFOp::create(b, x, x);
}

/// numerator / denominator, 0 where the denominator is.
static Value divideOrZero(ImplicitLocOpBuilder &b, Value numerator,
                          Value denominator) {
  Value zero = constantF32(b, 0);
  Value isZero =
      arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, denominator, zero);
  Value quotient = arith::DivFOp::create(b, numerator, denominator);
  return arith::SelectOp::create(b, isZero, zero, quotient);
}

/// The sum of `term(b, i)` for `lower <= i < upper`, ascending.
static Value sumOf(ImplicitLocOpBuilder &b, Value lower, Value upper,
                   function_ref<Value(ImplicitLocOpBuilder &, Value)> term) {
  return forLoop(b, lower, upper, constantF32(b, 0),
                 [&](ImplicitLocOpBuilder &b, Value i,
                     ValueRange sum) -> SmallVector<Value> {
                   return {arith::AddFOp::create(b, sum[0], term(b, i))};
                 })
      .getResult(0);
}

//===----------------------------------------------------------------------===//
// aux_loss
//===----------------------------------------------------------------------===//

namespace {
/// The operands of a loss.
struct Loss {
  AuxLossOp op;
  Value tokens, experts;

  Loss(ImplicitLocOpBuilder &b, AuxLossOp op)
      : op(op), tokens(tensor::DimOp::create(b, op.getValues(), 0)),
        experts(constantIndex(
            b, cast<ShapedType>(op.getValues().getType()).getDimSize(1))) {}

  Value at(ImplicitLocOpBuilder &b, Value token, Value expert) {
    return tensor::ExtractOp::create(b, op.getValues(),
                                     ValueRange{token, expert});
  }
};
} // namespace

/// E sum_e f_e P_e of the tokens `first..end`, times their number squared:
/// sum_e (slots of e) (sum of the scores of e), times E.
static Value balanceOf(ImplicitLocOpBuilder &b, Loss loss, Value first,
                       Value end) {
  Value idx = loss.op.getIdx();
  Value zero = constantIndex(b, 0);
  Value k = tensor::DimOp::create(b, idx, 1);
  Value sum = sumOf(
      b, zero, loss.experts, [&](ImplicitLocOpBuilder &b, Value e) -> Value {
        Value slots = sumOf(
            b, first, end, [&](ImplicitLocOpBuilder &b, Value t) -> Value {
              return sumOf(
                  b, zero, k, [&](ImplicitLocOpBuilder &b, Value j) -> Value {
                    Value chosen =
                        tensor::ExtractOp::create(b, idx, ValueRange{t, j});
                    Value isOwn = arith::CmpIOp::create(
                        b, arith::CmpIPredicate::eq, chosen, toI32(b, e));
                    return arith::UIToFPOp::create(b, b.getF32Type(), isOwn);
                  });
            });
        Value scores = sumOf(b, first, end,
                             [&](ImplicitLocOpBuilder &b, Value t) -> Value {
                               return loss.at(b, t, e);
                             });
        return arith::MulFOp::create(b, slots, scores);
      });
  return arith::MulFOp::create(b, sum, toFloat(b, loss.experts));
}

/// The mean over the groups that have tokens.
static Value balance(ImplicitLocOpBuilder &b, Loss loss) {
  Value zero = constantF32(b, 0), one = constantF32(b, 1);
  SmallVector<Value> sums = forEachGroup(
      b, loss.op.getCu(), loss.tokens, {zero, zero},
      [&](ImplicitLocOpBuilder &b, Value, Value first, Value end,
          ValueRange carried) -> SmallVector<Value> {
        Value count = toFloat(b, arith::SubIOp::create(b, end, first));
        Value own =
            divideOrZero(b, balanceOf(b, loss, first, end), square(b, count));
        Value sum = arith::AddFOp::create(b, carried[0], own);
        Value counted = arith::MinimumFOp::create(b, count, one);
        return {sum, arith::AddFOp::create(b, carried[1], counted)};
      });
  return divideOrZero(b, sums[0], sums[1]);
}

/// The mean of the squared logarithms of sums of exponentials.
static Value zLoss(ImplicitLocOpBuilder &b, Loss loss) {
  Value zero = constantIndex(b, 0);
  Value lowest = constantF32(b, -std::numeric_limits<float>::infinity());
  Value sum = sumOf(
      b, zero, loss.tokens, [&](ImplicitLocOpBuilder &b, Value t) -> Value {
        Value max = forLoop(b, zero, loss.experts, lowest,
                            [&](ImplicitLocOpBuilder &b, Value e,
                                ValueRange max) -> SmallVector<Value> {
                              return {arith::MaximumFOp::create(
                                  b, max[0], loss.at(b, t, e))};
                            })
                        .getResult(0);
        Value total = sumOf(b, zero, loss.experts,
                            [&](ImplicitLocOpBuilder &b, Value e) -> Value {
                              Value below = arith::SubFOp::create(
                                  b, loss.at(b, t, e), max);
                              return math::ExpOp::create(b, below);
                            });
        return square(
            b, arith::AddFOp::create(b, max, math::LogOp::create(b, total)));
      });
  return divideOrZero(b, sum, toFloat(b, loss.tokens));
}

/// variance / (mean^2 + 1e-10) of the sums of columns.
static Value squaredVariation(ImplicitLocOpBuilder &b, Loss loss) {
  Value zero = constantIndex(b, 0);
  auto columnSum = [&](ImplicitLocOpBuilder &b, Value e) -> Value {
    return sumOf(b, zero, loss.tokens,
                 [&](ImplicitLocOpBuilder &b, Value t) -> Value {
                   return loss.at(b, t, e);
                 });
  };
  Value count = toFloat(b, loss.experts);
  Value mean =
      arith::DivFOp::create(b, sumOf(b, zero, loss.experts, columnSum), count);
  Value deviations =
      sumOf(b, zero, loss.experts, [&](ImplicitLocOpBuilder &b, Value e) {
        return square(b, arith::SubFOp::create(b, columnSum(b, e), mean));
      });
  Value variance = arith::DivFOp::create(b, deviations, count);
  Value shifted =
      arith::AddFOp::create(b, square(b, mean), constantF32(b, 1e-10f));
  return arith::DivFOp::create(b, variance, shifted);
}

namespace {

/// aux_loss -> sums over tokens and experts
struct LowerAuxLoss : OpRewritePattern<AuxLossOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AuxLossOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Loss operands(b, op);
    Value loss;
    switch (op.getKind()) {
    case LossKind::Balance:
      loss = balance(b, operands);
      break;
    case LossKind::Z:
      loss = zLoss(b, operands);
      break;
    case LossKind::CV2:
      loss = squaredVariation(b, operands);
      break;
    }
    if (op.getScale())
      loss = arith::MulFOp::create(
          b, loss, constantF32(b, op.getScale()->convertToFloat()));
    rewriter.replaceOpWithNewOp<tensor::FromElementsOp>(op, op.getType(), loss);
    return success();
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// bias_update
//===----------------------------------------------------------------------===//

/// How far below its share of the load an expert is: the sign of that, or its
/// part of the whole.
static Value shortage(ImplicitLocOpBuilder &b, UpdateKind kind, Value count,
                      Value total, Value experts) {
  Value mean = arith::DivFOp::create(b, total, experts);
  Value below = arith::SubFOp::create(b, mean, count);
  if (kind == UpdateKind::Proportional)
    return divideOrZero(b, below, total);
  Value zero = constantF32(b, 0);
  Value sign = math::CopySignOp::create(b, constantF32(b, 1), below);
  Value isEven =
      arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, below, zero);
  return arith::SelectOp::create(b, isEven, zero, sign);
}

namespace {

/// bias_update -> addition for each expert
struct LowerBiasUpdate : OpRewritePattern<BiasUpdateOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(BiasUpdateOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    int64_t experts = cast<ShapedType>(op.getBias().getType()).getDimSize(0);
    auto countOf = [&](ImplicitLocOpBuilder &b, Value e) -> Value {
      Value count = tensor::ExtractOp::create(b, op.getCounts(), e);
      return arith::SIToFPOp::create(b, b.getF32Type(), count);
    };
    Value total =
        sumOf(b, constantIndex(b, 0), constantIndex(b, experts), countOf);
    Value out = empty(b, OpFoldResult(b.getIndexAttr(experts)), b.getF32Type());
    rewriter.replaceOp(
        op, generic(b, 1, {op.getBias(), op.getCounts()}, out, {{0}, {0}, {0}},
                    [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                      Value count =
                          arith::SIToFPOp::create(b, b.getF32Type(), v[1]);
                      Value missing =
                          shortage(b, op.getKind(), count, total,
                                   constantF32(b, static_cast<float>(experts)));
                      Value rate =
                          constantF32(b, op.getRate().convertToFloat());
                      return arith::AddFOp::create(
                          b, v[0], arith::MulFOp::create(b, rate, missing));
                    }));
    return success();
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// noise
//===----------------------------------------------------------------------===//

/// Words 0 and 1 of Philox4x32-10 with counter (n, 0, 0, 0): ten rounds, each
/// of two 32-bit multiplications whose halves are crossed with the key.
static std::pair<Value, Value> philox(ImplicitLocOpBuilder &b, Value n,
                                      Value key0, Value key1) {
  auto constant = [&](uint32_t word) {
    return constantI32(b, static_cast<int32_t>(word));
  };
  auto crossed = [&](Value high, Value word, Value key) -> Value {
    return arith::XOrIOp::create(b, arith::XOrIOp::create(b, high, word), key);
  };
  Value zero = constant(0);
  Value counter[] = {n, zero, zero, zero};
  for (int round = 0; round < 10; ++round) {
    auto first =
        arith::MulUIExtendedOp::create(b, constant(0xD2511F53), counter[0]);
    auto second =
        arith::MulUIExtendedOp::create(b, constant(0xCD9E8D57), counter[2]);
    Value next[] = {crossed(second.getHigh(), counter[1], key0),
                    second.getLow(), crossed(first.getHigh(), counter[3], key1),
                    first.getLow()};
    llvm::copy(next, counter);
    key0 = arith::AddIOp::create(b, key0, constant(0x9E3779B9));
    key1 = arith::AddIOp::create(b, key1, constant(0xBB67AE85));
  }
  return {counter[0], counter[1]};
}

/// ((word >> 9) + 1/2) / 2^23
static Value toUniform(ImplicitLocOpBuilder &b, Value word) {
  Value high = arith::ShRUIOp::create(b, word, constantI32(b, 9));
  Value number = arith::UIToFPOp::create(b, b.getF32Type(), high);
  Value centred = arith::AddFOp::create(b, number, constantF32(b, 0.5f));
  return arith::MulFOp::create(b, centred, constantF32(b, 0x1p-23f));
}

/// A number of `distribution` from two uniform ones.
static Value drawFrom(ImplicitLocOpBuilder &b, Distribution distribution,
                      Value u, Value v) {
  if (distribution == Distribution::Uniform)
    return u;
  Value log = math::LogOp::create(b, u);
  if (distribution == Distribution::Gumbel)
    return arith::NegFOp::create(
        b, math::LogOp::create(b, arith::NegFOp::create(b, log)));
  Value radius = math::SqrtOp::create(
      b, arith::MulFOp::create(b, constantF32(b, -2), log));
  Value angle =
      arith::MulFOp::create(b, constantF32(b, 6.2831853071795865f), v);
  return arith::MulFOp::create(b, radius, math::CosOp::create(b, angle));
}

namespace {

/// noise -> Philox on the place of each element
struct LowerNoise : OpRewritePattern<NoiseOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(NoiseOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value columns = tensor::DimOp::create(b, op.getLike(), 1);
    auto keyAt = [&](int64_t word) -> Value {
      return tensor::ExtractOp::create(b, op.getSeed(), constantIndex(b, word));
    };
    Value key0 = keyAt(0), key1 = keyAt(1);
    Value out = empty(b, tensor::getMixedSizes(b, op.getLoc(), op.getLike()),
                      b.getF32Type());
    rewriter.replaceOp(
        op, generic(b, 2, {}, out, {{0, 1}},
                    [&](ImplicitLocOpBuilder &b, ValueRange) -> Value {
                      Value row = linalg::IndexOp::create(b, 0);
                      Value n = arith::AddIOp::create(
                          b, arith::MulIOp::create(b, row, columns),
                          linalg::IndexOp::create(b, 1));
                      auto [w0, w1] = philox(b, toI32(b, n), key0, key1);
                      return drawFrom(b, op.getDistribution(), toUniform(b, w0),
                                      toUniform(b, w1));
                    }));
    return success();
  }
};

struct LowerTrainingPass
    : mlir::moe::impl::LowerTrainingPassBase<LowerTrainingPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerAuxLoss, LowerBiasUpdate, LowerNoise>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
