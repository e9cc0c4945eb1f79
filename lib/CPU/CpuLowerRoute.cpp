//===- CpuLowerRoute.cpp - moe.route becomes vector code ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tokens in parallel, a run of them for each work item: see RouteItem.h.
//
//===----------------------------------------------------------------------===//

#include "Loops.h"
#include "RouteItem.h"

#include "moe/CPU/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWERROUTEPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-route"

using namespace mlir;
using namespace mlir::moe;

/// Tokens of a work item.
static constexpr int64_t kItemTokens = 16;

static void lower(RouteOp op, const Level &level) {
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  RouteItem route(op, level);
  Value tokens = dim(b, op.getLogits(), 0);
  Value items = divUp(b, tokens, constantIndex(b, kItemTokens));
  forEachInParallel(b, items, kItemTokens * route.work(),
                    [&](ImplicitLocOpBuilder &b, Value item) {
                      Value begin = mul(b, item, kItemTokens);
                      Value end = min(b, add(b, begin, kItemTokens), tokens);
                      route.emit(b, begin, end);
                    });
  op.erase();
}

namespace {

struct CpuLowerRoutePass final
    : moe::impl::CpuLowerRoutePassBase<CpuLowerRoutePass> {
  void runOnOperation() override {
    SmallVector<RouteOp> ops;
    getOperation()->walk([&](RouteOp op) {
      if (op.getResults().empty())
        ops.push_back(op);
    });
    for (RouteOp op : ops) {
      const Level *level = getLevel(op);
      if (!level)
        return signalPassFailure();
      lower(op, *level);
    }
  }
};

} // namespace
