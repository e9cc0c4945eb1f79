//===- CpuLowerParallel.cpp - scf.parallel to OpenMP regions --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each thread of a region works on one contiguous part of the iterations:
//
//   omp.parallel num_threads(call->threads) {
//     first, last = n * id / threads, n * (id + 1) / threads
//     scf.for i = first to last { body }
//   }
//
// Upstream's --convert-scf-to-openmp makes a work-sharing loop of it instead,
// whose start allocates memory in libomp, and which has no operand for the
// number of threads.
//
//===----------------------------------------------------------------------===//

#include "Loops.h"
#include "moe/CPU/Passes.h"
#include "moe/Support/CallStruct.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/FunctionCallUtils.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWERPARALLELPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-parallel"

using namespace mlir;
using namespace mlir::moe;

namespace {

/// OpenMP's functions that a region asks for its place.
struct OpenMPFunctions {
  LLVM::LLVMFuncOp threadNumber, numThreads;
};

struct CpuLowerParallelPass final
    : moe::impl::CpuLowerParallelPassBase<CpuLowerParallelPass> {
  void runOnOperation() override;
};

} // namespace

static FailureOr<OpenMPFunctions> declareOpenMP(ModuleOp module) {
  OpBuilder b(module.getBodyRegion());
  Type i32 = b.getI32Type();
  auto number =
      LLVM::lookupOrCreateFn(b, module, "omp_get_thread_num", {}, i32);
  auto count =
      LLVM::lookupOrCreateFn(b, module, "omp_get_num_threads", {}, i32);
  if (failed(number) || failed(count))
    return failure();
  return OpenMPFunctions{*number, *count};
}

/// Moves the body of `loop` into an OpenMP region on `threads` threads.
static void lowerLoop(scf::ParallelOp loop, Value threads,
                      const OpenMPFunctions &openmp) {
  OpBuilder builder(loop);
  ImplicitLocOpBuilder b(loop.getLoc(), builder);
  Value lower = loop.getLowerBound()[0], step = loop.getStep()[0];
  Value span = sub(b, loop.getUpperBound()[0], lower);
  Value count = arith::CeilDivSIOp::create(b, span, step);
  auto region = omp::ParallelOp::create(b);
  region.getNumThreadsMutable().assign(threads);
  b.createBlock(&region.getRegion());
  auto ask = [&](LLVM::LLVMFuncOp function) {
    return toIndex(b,
                   LLVM::CallOp::create(b, function, ValueRange()).getResult());
  };
  Value id = ask(openmp.threadNumber), parts = ask(openmp.numThreads);
  auto bound = [&](Value part) { return div(b, mul(b, count, part), parts); };
  auto part = scf::ForOp::create(b, bound(id), bound(add(b, id, 1)),
                                 constantIndex(b, 1));
  omp::TerminatorOp::create(b);

  b.setInsertionPointToStart(part.getBody());
  Value i = add(b, lower, mul(b, part.getInductionVar(), step));
  loop.getInductionVars()[0].replaceAllUsesWith(i);
  loop.getBody()->getTerminator()->erase();
  part.getBody()->getOperations().splice(
      part.getBody()->getTerminator()->getIterator(),
      loop.getBody()->getOperations());
  // One stack buffer a thread, not one an iteration.
  for (auto scratch : llvm::to_vector(part.getOps<memref::AllocaOp>()))
    if (scratch.getType().hasStaticShape())
      scratch->moveBefore(&region.getRegion().front().front());
  loop.erase();
}

void CpuLowerParallelPass::runOnOperation() {
  ModuleOp module = getOperation();
  for (auto function : module.getOps<func::FuncOp>()) {
    SmallVector<scf::ParallelOp> loops;
    WalkResult walk = function.walk([&](scf::ParallelOp loop) {
      if (loop.getNumLoops() != 1 || loop.getNumReductions() != 0 ||
          loop->getParentOfType<scf::ParallelOp>()) {
        loop.emitOpError("expected one dimension, no reduction and no loop in "
                         "parallel around it");
        return WalkResult::interrupt();
      }
      loops.push_back(loop);
      return WalkResult::advance();
    });
    if (walk.wasInterrupted())
      return signalPassFailure();
    if (loops.empty())
      continue;
    FailureOr<OpenMPFunctions> openmp = declareOpenMP(module);
    if (failed(openmp))
      return signalPassFailure();
    OpBuilder builder = OpBuilder::atBlockBegin(&function.getBody().front());
    ImplicitLocOpBuilder b(function.getLoc(), builder);
    Value threads =
        loadCallField(b, function.getArgument(0), CallField::Threads);
    threads = LLVM::TruncOp::create(b, b.getI32Type(), threads);
    for (scf::ParallelOp loop : loops)
      lowerLoop(loop, threads, *openmp);
    numRegions += loops.size();
  }
}
