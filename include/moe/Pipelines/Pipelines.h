//===- Pipelines.h - From the graph to LLVM ---------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_PIPELINES_PIPELINES_H
#define MOE_PIPELINES_PIPELINES_H

#include "moe/IR/MoE.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::moe {

/// Options of the pipeline `moe-compile-cpu`.
struct CompileOptions : PassPipelineOptions<CompileOptions> {
  Option<bool> fuse{
      *this, "fuse", llvm::cl::init(true),
      llvm::cl::desc("fuse routing and experts and use packed kernels; "
                     "without, each core op is lowered alone, as an oracle")};
  Option<Compute> compute{
      *this, "compute",
      llvm::cl::desc("what packed products round their rows to"),
      llvm::cl::init(Compute::F32),
      llvm::cl::values(
          clEnumValN(Compute::F32, "f32", "as they are"),
          clEnumValN(Compute::BF16, "bf16", "to nearest even"),
          clEnumValN(Compute::Int8, "int8", "to integers with scales"))};
  ListOption<std::string> isa{
      *this, "isa",
      llvm::cl::desc("ISA levels to compile for, ascending, of v3, v4, vnni "
                     "and amx, or neon; without, v3 and what is best for "
                     "`compute`")};
  Option<std::string> format{
      *this, "format",
      llvm::cl::desc("format of packed weights, of f32, bf16, f16, int8, q8_0, "
                     "q4_0 and mxfp4; without, that of their own type")};
  Option<bool> trace{
      *this, "trace", llvm::cl::init(false),
      llvm::cl::desc("let calls record their stages, for `moe-run --trace`")};
};

/// The ISA levels to compile for: without a choice, those that the products
/// gain from.
SmallVector<std::string> getLevels(const CompileOptions &options);

/// Builds the pipeline from the form *graph* to the form *fused*, and the one
/// from there to the form *target*.
void buildFusionPipeline(OpPassManager &pm, const CompileOptions &options);
void buildLoweringPipeline(OpPassManager &pm, const CompileOptions &options);

/// Builds the pipeline from the form *graph* to the form *target*.
void buildCompilePipeline(OpPassManager &pm, const CompileOptions &options);

/// Builds the pipeline that prints what a graph will cost on `threads` threads.
void buildExplainPipeline(OpPassManager &pm, const CompileOptions &options,
                          int64_t threads);

/// Registers the pipelines under their names.
void registerPipelines();

} // namespace mlir::moe

#endif // MOE_PIPELINES_PIPELINES_H
