//===- LowerComposites.cpp - route, expert_ffn to core ops ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"
#include "moe/Lower/Passes.h"

#include "mlir/Transforms/WalkPatternRewriteDriver.h"

#define DEBUG_TYPE "moe-lower-composites"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERCOMPOSITESPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

namespace {

/// route(l) -> weigh(score(l), select(score(l))); by_logits, select(l);
/// of_chosen, score(weigh(l, select(l)))
struct LowerRoute : OpRewritePattern<RouteOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RouteOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value logits = op.getLogits(), scores = logits;
    if (!op.getOfChosen())
      scores = ScoreOp::create(b, op.getFn(), logits);
    Value idx = SelectOp::create(b, op.getByLogits() ? logits : scores,
                                 op.getK(), op.getBias(), op.getGroupsAttr(),
                                 op.getAboveAttr(), op.getUntilAttr());
    Value weights =
        WeighOp::create(b, scores, idx, op.getNorm(), op.getPlusAttr(),
                        op.getAtLeastAttr(), op.getScaleAttr());
    if (op.getOfChosen())
      weights = ScoreOp::create(b, op.getFn(), weights);
    rewriter.replaceOp(op, {idx, weights});
    return success();
  }
};

/// expert_ffn(x) -> combine(down(glu(gate(dispatch(x)), up(dispatch(x)))))
struct LowerExpertFfn : OpRewritePattern<ExpertFfnOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ExpertFfnOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getPacked())
      return rewriter.notifyMatchFailure(
          op, "packed weights are the target's kernels' business");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    int64_t k = cast<ShapedType>(op.getIdx().getType()).getDimSize(1);
    auto assign = AssignOp::create(b, op.getIdx(), op.getNumExperts());
    Value rows = DispatchOp::create(b, op.getX(), assign.getPerm(), k);
    auto product = [&](Value rows, int64_t i) -> Value {
      Value weights = op.getWeights()[i];
      int64_t out = cast<ShapedType>(weights.getType()).getDimSize(1);
      OpFoldResult n = tensor::getMixedSize(b, op.getLoc(), rows, 0);
      Value init = tensor::EmptyOp::create(
          b, ArrayRef<OpFoldResult>{n, b.getIndexAttr(out)}, b.getF32Type());
      Value y = GroupedMatmulOp::create(b, init.getType(), rows, weights,
                                        assign.getOffsets(), init,
                                        /*packed=*/PackFormatAttr())
                    .getResult();
      if (op.getBiases().empty())
        return y;
      return GroupAddOp::create(b, y, op.getBiases()[i], assign.getOffsets());
    };
    GluClauses clauses = op.getClauses();
    int64_t down = op.getWeights().size() - 1;
    Value gate = product(rows, 0);
    Value up = clauses.isGated() ? product(rows, 1) : Value();
    Value hidden = GluOp::create(b, clauses, gate, up);
    rewriter.replaceOpWithNewOp<CombineOp>(
        op, product(hidden, down), assign.getRow(), op.getSlotWeights());
    return success();
  }
};

struct LowerCompositesPass
    : mlir::moe::impl::LowerCompositesPassBase<LowerCompositesPass> {
  using LowerCompositesPassBase::LowerCompositesPassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerExpertFfn>(&getContext());
    if (!keepRoutes)
      patterns.add<LowerRoute>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
