//===- CpuBindThreads.cpp - As many threads as the call asks for ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/CPU/Passes.h"
#include "moe/Support/CallStruct.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPUBINDTHREADSPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-bind-threads"

using namespace mlir;
using namespace mlir::moe;

namespace {

struct CpuBindThreadsPass final
    : moe::impl::CpuBindThreadsPassBase<CpuBindThreadsPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    SmallVector<omp::ParallelOp> regions;
    function.walk([&](omp::ParallelOp region) { regions.push_back(region); });
    if (regions.empty())
      return;
    OpBuilder builder = OpBuilder::atBlockBegin(&function.getBody().front());
    ImplicitLocOpBuilder b(function.getLoc(), builder);
    Value threads =
        loadCallField(b, function.getArgument(0), CallField::Threads);
    threads = LLVM::TruncOp::create(b, b.getI32Type(), threads);
    for (omp::ParallelOp region : regions)
      region.getNumThreadsMutable().assign(threads);
  }
};

} // namespace
