//===- Pipelines.cpp - From the graph to LLVM -----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Pipelines/Pipelines.h"

#include "moe/CPU/Passes.h"
#include "moe/Fuse/Passes.h"
#include "moe/Lower/Passes.h"
#include "moe/Verify/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace mlir::moe;

/// The check at the edge to `form`.
static std::unique_ptr<Pass> verify(Form form) {
  return createVerifyFormPass(VerifyFormPassOptions{form});
}

void mlir::moe::buildFusionPipeline(OpPassManager &pm,
                                    const CompileOptions &options) {
  pm.addPass(verify(Form::Graph));
  pm.addPass(createFuseRoutePass());
  pm.addPass(createFuseExpertFfnPass());
  pm.addPass(createLinalgElementwiseOpFusionPass());
  pm.addPass(
      createCpuPackWeightsPass(CpuPackWeightsPassOptions{options.format}));
  pm.addPass(createCpuSetComputePass({options.compute}));
  pm.addPass(verify(Form::Fused));
}

/// Form *graph* (or *fused*) to *buffers*.
static void addBufferization(OpPassManager &pm, const CompileOptions &options) {
  pm.addNestedPass<func::FuncOp>(
      createLowerCompositesPass(LowerCompositesPassOptions{options.fuse}));
  pm.addNestedPass<func::FuncOp>(createLowerTrainingPass());
  pm.addNestedPass<func::FuncOp>(createLowerRoutingPass());
  pm.addNestedPass<func::FuncOp>(createLowerAssignmentPass());
  pm.addNestedPass<func::FuncOp>(createLowerExpertsPass());
  pm.addPass(createCanonicalizerPass());
  // No CSE before: it would merge destinations that are equal, and each use
  // but one would then be a copy.
  pm.addPass(bufferization::createEmptyTensorEliminationPass());
  pm.addPass(bufferization::createOneShotBufferizePass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

SmallVector<std::string> mlir::moe::getLevels(const CompileOptions &options) {
  if (!options.isa.empty())
    return SmallVector<std::string>(options.isa.begin(), options.isa.end());
  switch (options.compute) {
  case Compute::F32:
    return {"v3", "v4"};
  case Compute::BF16:
    return {"v3", "v4", "amx"};
  case Compute::Int8:
    return {"v3", "vnni", "amx"};
  }
  llvm_unreachable("expected a type to compute in");
}

/// Form *buffers* to *loops*.
static void addLoops(OpPassManager &pm, const CompileOptions &options) {
  pm.addNestedPass<func::FuncOp>(createLowerCopiesPass());
  pm.addPass(
      createCpuCloneLevelsPass(CpuCloneLevelsPassOptions{getLevels(options)}));
  if (options.fuse) {
    pm.addPass(createCpuLowerExpertFfnPass());
    pm.addPass(createCpuLowerGroupedMatmulPass());
    pm.addPass(createCpuLowerRoutePass());
    pm.addNestedPass<func::FuncOp>(createCpuVectorizePass());
  }
  pm.addNestedPass<func::FuncOp>(options.fuse ? createCpuLowerAttentionPass()
                                              : createLowerAttentionPass());
  pm.addNestedPass<func::FuncOp>(createConvertLinalgToLoopsPass());
  if (options.fuse) {
    pm.addPass(createCpuLowerPanelsPass());
    pm.addPass(createCpuExpandMathPass());
  }
}

/// Form *loops* to *target*.
static void addLLVM(OpPassManager &pm, const CompileOptions &options) {
  pm.addPass(createLoopInvariantCodeMotionPass());
  pm.addPass(createLowerCallPass());
  // Sizes of buffers must lead to the entry's arguments, not to other buffers.
  pm.addPass(memref::createResolveShapedTypeResultDimsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createLowerWorkspacePass());
  if (options.trace)
    pm.addPass(createLowerTracePass());
  pm.addPass(createCpuLowerParallelPass());
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createSCFToControlFlowPass());
  // LLVM has most functions; libm has the others, for one element of a vector
  // at a time.
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createConvertMathToLibmPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createConvertOpenMPToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
}

void mlir::moe::buildLoweringPipeline(OpPassManager &pm,
                                      const CompileOptions &options) {
  if (options.trace)
    pm.addNestedPass<func::FuncOp>(createLowerNamesPass());
  // Every layer function has one call: inlining makes one function of an entry
  // and does not make the module longer.
  pm.addPass(createInlinerPass());
  pm.addPass(createSymbolDCEPass());
  pm.addPass(createLowerEntriesPass());
  addBufferization(pm, options);
  pm.addPass(verify(Form::Buffers));
  addLoops(pm, options);
  pm.addPass(verify(Form::Loops));
  addLLVM(pm, options);
  pm.addPass(verify(Form::Target));
}

void mlir::moe::buildCompilePipeline(OpPassManager &pm,
                                     const CompileOptions &options) {
  if (options.fuse)
    buildFusionPipeline(pm, options);
  else
    pm.addPass(verify(Form::Graph));
  buildLoweringPipeline(pm, options);
}

void mlir::moe::buildExplainPipeline(OpPassManager &pm,
                                     const CompileOptions &options,
                                     int64_t threads) {
  buildFusionPipeline(pm, options);
  CpuExplainPassOptions explain;
  explain.levels = getLevels(options);
  explain.threads = threads;
  pm.addPass(createCpuExplainPass(explain));
}

void mlir::moe::registerPipelines() {
  PassPipelineRegistration<CompileOptions>("moe-compile-cpu",
                                           "Compiles a graph to LLVM for CPUs",
                                           buildCompilePipeline);
}
