//===- FuseRoute.cpp - score, select and weigh become one moe.route -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The root is `weigh`, the last of the three. The route stands where `select`
// stood: the logits are defined there, and users of the indices may come before
// `weigh`.
//
//===----------------------------------------------------------------------===//

#include "moe/Fuse/Passes.h"

#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::moe {
#define GEN_PASS_DEF_FUSEROUTEPASS
#include "moe/Fuse/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-fuse-route"

using namespace mlir;
using namespace mlir::moe;

// weigh(s = score(logits), select(s)) -> route(logits)
static LogicalResult fuse(WeighOp weigh, IRRewriter &rewriter) {
  auto decline = [&](StringRef reason) {
    weigh.emitRemark("not fused into a route: ") << reason;
    return failure();
  };
  auto select = weigh.getIdx().getDefiningOp<SelectOp>();
  if (!select)
    return decline("the indices are not a moe.select");
  if (select.getKey() != weigh.getScores())
    return decline("the experts are selected by another key");
  if (!select.isPlain())
    return decline("the selection has a bias, groups or a bound");
  if (!weigh.isPlain())
    return decline("the weights are scaled, or divided by another norm");
  auto score = weigh.getScores().getDefiningOp<ScoreOp>();
  if (!score)
    return decline("the scores are not a moe.score");
  if (score.getFn() != ScoreFn::Softmax || score.getOverTokens())
    return decline("the scores are not a softmax over experts");

  rewriter.setInsertionPoint(select);
  Location loc =
      rewriter.getFusedLoc({score.getLoc(), select.getLoc(), weigh.getLoc()});
  Value logits = score.getLogits();
  SmallVector<OpFoldResult> shape = {
      tensor::getMixedSize(rewriter, loc, logits, 0),
      rewriter.getIndexAttr(select.getK())};
  Value idx =
      tensor::EmptyOp::create(rewriter, loc, shape, rewriter.getI32Type());
  Value weights =
      tensor::EmptyOp::create(rewriter, loc, shape, rewriter.getF32Type());
  auto route = RouteOp::create(
      rewriter, loc, TypeRange{select.getType(), weigh.getType()},
      score.getFn(), logits, idx, weights, weigh.getNorm());
  rewriter.replaceOp(weigh, route.getResult(1));
  rewriter.replaceOp(select, route.getResult(0));
  if (isOpTriviallyDead(score))
    rewriter.eraseOp(score);
  return success();
}

namespace {

struct FuseRoutePass final : moe::impl::FuseRoutePassBase<FuseRoutePass> {
  void runOnOperation() override {
    SmallVector<WeighOp> roots;
    getOperation()->walk([&](WeighOp op) { roots.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (WeighOp root : roots)
      ++(succeeded(fuse(root, rewriter)) ? numFused : numDeclined);
  }
};

} // namespace
