//===- CpuHoistScratch.cpp - Stack buffers once per thread ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/CPU/Passes.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPUHOISTSCRATCHPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-hoist-scratch"

using namespace mlir;
using namespace mlir::moe;

/// Moves what a scope has on the stack to the start of the region; true if that
/// is all and the scope is no longer needed.
static bool hoistBuffers(memref::AllocaScopeOp scope, omp::ParallelOp region) {
  SmallVector<memref::AllocaOp> buffers;
  scope.walk([&](memref::AllocaOp alloca) { buffers.push_back(alloca); });
  bool all = true;
  for (memref::AllocaOp buffer : llvm::reverse(buffers)) {
    if (buffer->getNumOperands() == 0)
      buffer->moveBefore(&region.getRegion().front().front());
    else
      all = false;
  }
  return all && scope.getNumResults() == 0;
}

namespace {

struct CpuHoistScratchPass final
    : moe::impl::CpuHoistScratchPassBase<CpuHoistScratchPass> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    getOperation()->walk([&](memref::AllocaScopeOp scope) {
      auto region = scope->getParentOfType<omp::ParallelOp>();
      if (!region || !hoistBuffers(scope, region))
        return;
      Block &body = scope.getBodyRegion().front();
      rewriter.eraseOp(body.getTerminator());
      rewriter.inlineBlockBefore(&body, scope);
      rewriter.eraseOp(scope);
      ++numScopes;
    });
  }
};

} // namespace
