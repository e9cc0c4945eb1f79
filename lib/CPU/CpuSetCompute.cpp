//===- CpuSetCompute.cpp - Products round their rows ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Routed.h"

#include "moe/CPU/Passes.h"
#include "moe/IR/Packing.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPUSETCOMPUTEPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-set-compute"

using namespace mlir;
using namespace mlir::moe;

namespace {

struct CpuSetComputePass final
    : moe::impl::CpuSetComputePassBase<CpuSetComputePass> {
  using CpuSetComputePassBase::CpuSetComputePassBase;

  template <typename OpTy>
  void set(OpTy op, bool isRouter) {
    if (compute == Compute::F32 || op.getCompute() == compute)
      return;
    auto decline = [&](const Twine &reason) {
      op.emitRemark("rows stay f32: ") << reason;
      ++numDeclined;
    };
    if (isRouter)
      return decline("they choose experts");
    if (!isComputable(op.getPacked(), compute))
      return decline(op.getPacked() ? "weights are packed as " +
                                          stringifyPackFormat(*op.getPacked())
                                    : Twine("weights are not packed"));
    op.setCompute(compute);
    ++numSet;
  }

  void runOnOperation() override {
    getOperation()->setAttr(
        kComputeAttr, StringAttr::get(&getContext(), stringifyEnum(compute)));
    getOperation()->walk([&](GroupedMatmulOp op) {
      set(op, llvm::any_of(op->getResults(), isRouted));
    });
    getOperation()->walk([&](ExpertFfnOp op) { set(op, false); });
  }
};

} // namespace
