//===- LowerRouting.cpp - score, select, weigh to loops -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each op alone, on tensors, one scalar after the other. `select` walks the
// experts of a token k times; a candidate is the pair (key, index) folded into
// one i64 that orders as the op's description says, so that "the next best" is
// "the largest below the last". Its clauses are expanded before: a bias and
// groups make other keys, bounds drop slots of the result.
//
//===----------------------------------------------------------------------===//

#include "Candidate.h"
#include "Linalg.h"

#include "moe/IR/Activations.h"
#include "moe/Lower/Passes.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

#include <limits>

#define DEBUG_TYPE "moe-lower-routing"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERROUTINGPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

//===----------------------------------------------------------------------===//
// score
//===----------------------------------------------------------------------===//

/// exp(x - max x) / sum of exp(x - max x) into `out`, where maximum and sum run
/// over dimension `over`.
static Value softmax(ImplicitLocOpBuilder &b, Value x, Value out,
                     unsigned over) {
  unsigned kept = 1 - over;
  OpFoldResult extent = tensor::getMixedSize(b, b.getLoc(), x, kept);
  Value lowest = constantF32(b, -std::numeric_limits<float>::infinity());
  Value max = generic(b, 2, x, filled(b, extent, lowest), {{0, 1}, {kept}},
                      [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                        return arith::MaximumFOp::create(b, v[0], v[1]);
                      });
  Value exp = generic(b, 2, {x, max}, out, {{0, 1}, {kept}, {0, 1}},
                      [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                        return math::ExpOp::create(
                            b, arith::SubFOp::create(b, v[0], v[1]));
                      });
  Value sum =
      generic(b, 2, exp, filled(b, extent, constantF32(b, 0)), {{0, 1}, {kept}},
              [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                return arith::AddFOp::create(b, v[1], v[0]);
              });
  return generic(b, 2, sum, exp, {{kept}, {0, 1}},
                 [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                   return arith::DivFOp::create(b, v[1], v[0]);
                 });
}

/// The softmax of each column over the rows of each group.
static Value softmaxOverTokens(ImplicitLocOpBuilder &b, ScoreOp op, Value out) {
  Value logits = op.getLogits();
  Value tokens = tensor::DimOp::create(b, logits, 0);
  return forEachGroup(
      b, op.getCu(), tokens, out,
      [&](ImplicitLocOpBuilder &b, Value, Value first, Value end,
          ValueRange carried) -> SmallVector<Value> {
        Value count = arith::SubIOp::create(b, end, first);
        auto at = rowSlice(b, logits, first, count);
        Value x =
            tensor::ExtractSliceOp::create(b, logits, at[0], at[1], at[2]);
        Value y =
            tensor::ExtractSliceOp::create(b, carried[0], at[0], at[1], at[2]);
        return {tensor::InsertSliceOp::create(b, softmax(b, x, y, /*over=*/0),
                                              carried[0], at[0], at[1], at[2])};
      })[0];
}

namespace {

struct LowerScore : OpRewritePattern<ScoreOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ScoreOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value logits = op.getLogits();
    Value scores;
    if (op.getFn() != ScoreFn::Softmax) {
      scores = elementwise(b, logits, b.getF32Type(),
                           [&](ImplicitLocOpBuilder &b, ValueRange v) {
                             return emitScore(b, op.getFn(), v[0]);
                           });
    } else {
      Value out = empty(b, tensor::getMixedSizes(b, op.getLoc(), logits),
                        b.getF32Type());
      scores = op.getOverTokens() ? softmaxOverTokens(b, op, out)
                                  : softmax(b, logits, out, /*over=*/1);
    }
    rewriter.replaceOp(op, scores);
    return success();
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// select
//===----------------------------------------------------------------------===//

/// Keys [T,E] with those outside the best groups replaced.
static Value keepBestGroups(ImplicitLocOpBuilder &b, Value key,
                            GroupsAttr groups) {
  auto type = cast<RankedTensorType>(key.getType());
  int64_t tokens = type.getDimSize(0), count = groups.getCount();
  int64_t size = type.getDimSize(1) / count;
  OpFoldResult rows = tensor::getMixedSize(b, b.getLoc(), key, 0);
  auto typeOf = [&](ArrayRef<int64_t> shape) {
    return RankedTensorType::get(shape, b.getF32Type());
  };
  // Each group as a row of its own: [T,E] -> [T,count,size] -> [T*count,size].
  int64_t groupRows = ShapedType::isDynamic(tokens) ? tokens : tokens * count;
  ReassociationIndices first = {0, 1}, second = {1, 2}, zero = {0}, two = {2};
  Value split = tensor::ExpandShapeOp::create(
      b, typeOf({tokens, count, size}), key, {zero, second},
      {rows, b.getIndexAttr(count), b.getIndexAttr(size)});
  Value byGroup = tensor::CollapseShapeOp::create(b, typeOf({groupRows, size}),
                                                  split, {first, two});
  Value best = SelectOp::create(b, byGroup, groups.getTerms());
  Value terms = WeighOp::create(b, byGroup, best);
  Value sums = generic(
      b, 2, terms,
      filled(b, tensor::getMixedSize(b, b.getLoc(), byGroup, 0),
             constantF32(b, 0)),
      {{0, 1}, {0}}, [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
        return arith::AddFOp::create(b, v[1], v[0]);
      });
  Value scores = tensor::ExpandShapeOp::create(
      b, typeOf({tokens, count}), sums, {first}, {rows, b.getIndexAttr(count)});
  Value kept = SelectOp::create(b, scores, groups.getKeep());

  float fill = groups.getFill() == Fill::Zero
                   ? 0
                   : -std::numeric_limits<float>::infinity();
  return elementwise(
      b, key, b.getF32Type(),
      [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
        Value token = linalg::IndexOp::create(b, 0);
        Value expert = linalg::IndexOp::create(b, 1);
        Value group =
            toI32(b, arith::DivUIOp::create(b, expert, constantIndex(b, size)));
        Value isKept = arith::ConstantIntOp::create(b, 0, 1);
        for (int64_t j = 0; j < groups.getKeep(); ++j) {
          Value other = tensor::ExtractOp::create(
              b, kept, ValueRange{token, constantIndex(b, j)});
          Value same =
              arith::CmpIOp::create(b, arith::CmpIPredicate::eq, group, other);
          isKept = arith::OrIOp::create(b, isKept, same);
        }
        return arith::SelectOp::create(b, isKept, v[0], constantF32(b, fill));
      });
}

/// Indices [T,k] with -1 where `keep(b, key)` says no.
static Value
dropSlots(ImplicitLocOpBuilder &b, Value idx, Value keys,
          function_ref<Value(ImplicitLocOpBuilder &, Value)> keep) {
  Value out =
      empty(b, tensor::getMixedSizes(b, b.getLoc(), idx), b.getI32Type());
  return generic(b, 2, {idx, keys}, out, {{0, 1}, {0, 1}, {0, 1}},
                 [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                   return arith::SelectOp::create(b, keep(b, v[1]), v[0],
                                                  constantI32(b, -1));
                 });
}

namespace {

/// select(key) bias, groups, above, until -> drop(select(key'))
struct ExpandSelect : OpRewritePattern<SelectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SelectOp op,
                                PatternRewriter &rewriter) const override {
    if (op.isPlain())
      return rewriter.notifyMatchFailure(op, "no clause to expand");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value key = op.getKey();
    if (Value bias = op.getBias())
      key = generic(
          b, 2, {key, bias},
          empty(b, tensor::getMixedSizes(b, op.getLoc(), key), b.getF32Type()),
          {{0, 1}, {1}, {0, 1}},
          [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
            return arith::AddFOp::create(b, v[0], toF32(b, v[1]));
          });
    if (std::optional<GroupsAttr> groups = op.getGroups())
      key = keepBestGroups(b, key, *groups);
    Value idx = SelectOp::create(b, key, op.getK());
    Value chosen;
    if (op.getAbove() || op.getUntil())
      chosen = WeighOp::create(b, key, idx);
    if (std::optional<APFloat> bound = op.getAbove())
      idx = dropSlots(b, idx, chosen,
                      [&](ImplicitLocOpBuilder &b, Value key) -> Value {
                        return arith::CmpFOp::create(
                            b, arith::CmpFPredicate::OGT, key,
                            constantF32(b, bound->convertToFloat()));
                      });
    if (std::optional<APFloat> mass = op.getUntil())
      idx = dropSlots(
          b, idx, chosen, [&](ImplicitLocOpBuilder &b, Value) -> Value {
            Value token = linalg::IndexOp::create(b, 0);
            Value slot = linalg::IndexOp::create(b, 1);
            Value before =
                forLoop(b, constantIndex(b, 0), slot, constantF32(b, 0),
                        [&](ImplicitLocOpBuilder &b, Value j,
                            ValueRange sum) -> SmallVector<Value> {
                          Value key = tensor::ExtractOp::create(
                              b, chosen, ValueRange{token, j});
                          return {arith::AddFOp::create(b, sum[0], key)};
                        })
                    .getResult(0);
            return arith::CmpFOp::create(
                b, arith::CmpFPredicate::OLT, before,
                constantF32(b, mass->convertToFloat()));
          });
    rewriter.replaceOp(op, idx);
    return success();
  }
};

/// select top k -> k sweeps over the experts of each token
struct LowerSelect : OpRewritePattern<SelectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SelectOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value key = op.getKey();
    SmallVector<OpFoldResult> sizes =
        tensor::getMixedSizes(b, op.getLoc(), key);
    Value zero = constantIndex(b, 0);
    Value tokens = getValueOrCreateConstantIndexOp(b, op.getLoc(), sizes[0]);
    Value experts = getValueOrCreateConstantIndexOp(b, op.getLoc(), sizes[1]);
    Value k = constantIndex(b, op.getK());
    Value none = arith::ConstantIntOp::create(
        b, std::numeric_limits<int64_t>::min(), 64);
    Value all = arith::ConstantIntOp::create(
        b, std::numeric_limits<int64_t>::max(), 64);
    auto idxType = cast<RankedTensorType>(op.getIdx().getType());
    Value init = empty(b, {sizes[0], b.getIndexAttr(op.getK())},
                       idxType.getElementType());
    // The largest candidate of token `t` below `last`.
    auto next = [&](ImplicitLocOpBuilder &b, Value t, Value last) -> Value {
      return forLoop(
                 b, zero, experts, none,
                 [&](ImplicitLocOpBuilder &b, Value e,
                     ValueRange best) -> SmallVector<Value> {
                   Value c = candidate(
                       b, tensor::ExtractOp::create(b, key, ValueRange{t, e}),
                       e);
                   Value below = arith::CmpIOp::create(
                       b, arith::CmpIPredicate::slt, c, last);
                   Value masked = arith::SelectOp::create(b, below, c, none);
                   return {arith::MaxSIOp::create(b, best[0], masked)};
                 })
          .getResult(0);
    };
    auto rows = forLoop(
        b, zero, tokens, init,
        [&](ImplicitLocOpBuilder &b, Value t,
            ValueRange idx) -> SmallVector<Value> {
          return {forLoop(b, zero, k, {idx[0], all},
                          [&](ImplicitLocOpBuilder &b, Value j,
                              ValueRange carried) -> SmallVector<Value> {
                            Value best = next(b, t, carried[1]);
                            return {tensor::InsertOp::create(
                                        b, indexOf(b, best), carried[0],
                                        ValueRange{t, j}),
                                    best};
                          })
                      .getResult(0)};
        });
    rewriter.replaceOp(op, rows.getResult(0));
    return success();
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// weigh
//===----------------------------------------------------------------------===//

namespace {

/// weigh -> gather, divide by the norm of the row, multiply
struct LowerWeigh : OpRewritePattern<WeighOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(WeighOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value idx = op.getIdx();
    auto isChosen = [](ImplicitLocOpBuilder &b, Value expert) -> Value {
      return arith::CmpIOp::create(b, arith::CmpIPredicate::sge, expert,
                                   constantI32(b, 0));
    };
    auto scaled = [&](ImplicitLocOpBuilder &b, Value w) -> Value {
      if (!op.getScale())
        return w;
      return arith::MulFOp::create(
          b, w, constantF32(b, op.getScale()->convertToFloat()));
    };
    bool hasNorm = op.getNorm() != Norm::None;
    Value weights = elementwise(
        b, idx, b.getF32Type(),
        [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
          Value token = linalg::IndexOp::create(b, 0);
          Value expert =
              toIndex(b, arith::MaxSIOp::create(b, v[0], constantI32(b, 0)));
          Value weight = tensor::ExtractOp::create(b, op.getScores(),
                                                   ValueRange{token, expert});
          weight = arith::SelectOp::create(b, isChosen(b, v[0]), weight,
                                           constantF32(b, 0));
          return hasNorm ? weight : scaled(b, weight);
        });
    if (hasNorm) {
      Value zeros = filled(b, tensor::getMixedSize(b, op.getLoc(), idx, 0),
                           constantF32(b, 0));
      Value sum = generic(b, 2, weights, zeros, {{0, 1}, {0}},
                          [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                            Value term = v[0];
                            if (op.getNorm() == Norm::L2)
                              term = arith::MulFOp::create(b, term, term);
                            return arith::AddFOp::create(b, v[1], term);
                          });
      // A token whose slots are all -1 may have the divisor 0.
      weights = generic(b, 2, {sum, idx}, weights, {{0}, {0, 1}, {0, 1}},
                        [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                          Value w = arith::DivFOp::create(
                              b, v[2],
                              emitDivisor(b, op.getNorm(), op.getPlusAttr(),
                                          op.getAtLeastAttr(), v[0]));
                          return arith::SelectOp::create(b, isChosen(b, v[1]),
                                                         scaled(b, w),
                                                         constantF32(b, 0));
                        });
    }
    rewriter.replaceOp(op, weights);
    return success();
  }
};

struct LowerRoutingPass
    : mlir::moe::impl::LowerRoutingPassBase<LowerRoutingPass> {
  void runOnOperation() override {
    RewritePatternSet expansion(&getContext());
    expansion.add<ExpandSelect>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(expansion));
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerScore, LowerSelect, LowerWeigh>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
