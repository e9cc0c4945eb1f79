//===- FuseRoute.cpp - score, select and weigh become one moe.route -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The root is `weigh`. Its indices come from a `select`, and the two share the
// logits in one of three ways:
//
//   weigh(score(l), select(score(l)))
//   weigh(score(l), select(l))             by_logits
//   score(weigh(l, select(l)))             of_chosen
//
// The route stands where `select` stood: the logits are defined there, and
// users of the indices may come before `weigh`.
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

namespace {
/// The ops of one composition.
struct Match {
  ScoreOp score;
  SelectOp select;
  WeighOp weigh;
  bool byLogits = false, ofChosen = false;

  Value getWeights() {
    return ofChosen ? score.getScores() : weigh.getWeights();
  }
};
} // namespace

/// Fills `m` from `m.weigh`; null, or why that failed.
static const char *match(Match &m) {
  m.select = m.weigh.getIdx().getDefiningOp<SelectOp>();
  if (!m.select)
    return "the indices are not a moe.select";
  Value scores = m.weigh.getScores(), key = m.select.getKey();
  m.score = scores.getDefiningOp<ScoreOp>();
  if (m.score) {
    m.byLogits = key == m.score.getLogits();
    if (key != scores && !m.byLogits)
      return "the experts are selected by another key";
  } else {
    if (key != scores)
      return "the experts are selected by another key";
    if (m.weigh->hasOneUse())
      m.score = dyn_cast<ScoreOp>(*m.weigh->user_begin());
    if (!m.score)
      return "neither scores nor weights are those of a moe.score";
    m.ofChosen = true;
    if (!m.weigh.isPlain() || m.weigh.getNorm() != Norm::None ||
        m.select.getAbove() || m.select.getUntil())
      return "the chosen logits are bounded or scaled before their moe.score";
  }
  return m.score.getOverTokens() ? "the scores are over tokens" : nullptr;
}

static LogicalResult fuse(WeighOp weigh, IRRewriter &rewriter) {
  Match m;
  m.weigh = weigh;
  if (const char *reason = match(m)) {
    weigh.emitRemark("not fused into a route: ") << reason;
    return failure();
  }

  SelectOp select = m.select;
  rewriter.setInsertionPoint(select);
  Location loc =
      rewriter.getFusedLoc({m.score.getLoc(), select.getLoc(), weigh.getLoc()});
  Value logits = m.ofChosen ? weigh.getScores() : m.score.getLogits();
  SmallVector<OpFoldResult> shape = {
      tensor::getMixedSize(rewriter, loc, logits, 0),
      rewriter.getIndexAttr(select.getK())};
  Value idx =
      tensor::EmptyOp::create(rewriter, loc, shape, rewriter.getI32Type());
  Value weights =
      tensor::EmptyOp::create(rewriter, loc, shape, rewriter.getF32Type());
  auto route = RouteOp::create(
      rewriter, loc, TypeRange{select.getType(), weigh.getType()},
      m.score.getFn(), m.byLogits, m.ofChosen, logits, select.getBias(), idx,
      weights, select.getGroupsAttr(), select.getAboveAttr(),
      select.getUntilAttr(), weigh.getNorm(), weigh.getPlusAttr(),
      weigh.getAtLeastAttr(), weigh.getScaleAttr());
  rewriter.replaceAllUsesWith(m.getWeights(), route.getResult(1));
  rewriter.replaceAllUsesWith(select, route.getResult(0));
  SmallVector<Operation *> replaced = {weigh, select};
  replaced.insert(m.ofChosen ? replaced.begin() : replaced.end(), m.score);
  for (Operation *op : replaced)
    if (isOpTriviallyDead(op))
      rewriter.eraseOp(op);
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
