//===- VerifyForm.cpp - What a form of the IR may hold --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One predicate per form says why an op does not belong there; the pass walks
// the module and reports every op that has such a reason.
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"
#include "moe/Verify/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

#define DEBUG_TYPE "moe-verify-form"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_VERIFYFORMPASS
#include "moe/Verify/Passes.h.inc"
} // namespace mlir::moe

/// Why an op does not belong to a form; empty if it does.
using Reason = StringRef;

static bool isMoE(Operation *op) {
  return isa_and_nonnull<MoEDialect>(op->getDialect());
}

static Reason notFused(Operation *op) {
  if (isMoE(op) && isa<DestinationStyleOpInterface>(op) &&
      op->getNumResults() == 0)
    return "expected tensors";
  return {};
}

static Reason notGraph(Operation *op) {
  if (isa<RouteOp, ExpertFfnOp>(op))
    return "expected core ops, got a composite";
  if (auto matmul = dyn_cast<GroupedMatmulOp>(op); matmul && matmul.getPacked())
    return "expected weights as the checkpoint has them, got packed ones";
  return notFused(op);
}

/// The parameter that `buffer` is a view of, if any.
static LoadParameterOp viewedParameter(Value buffer) {
  Operation *op = buffer.getDefiningOp();
  while (auto view = dyn_cast_or_null<ViewLikeOpInterface>(op))
    op = view.getViewSource().getDefiningOp();
  return dyn_cast_or_null<LoadParameterOp>(op);
}

static Reason notBuffers(Operation *op) {
  if (auto func = dyn_cast<func::FuncOp>(op); func && func.getNumResults() != 0)
    return "expected a function without results";
  if (auto copy = dyn_cast<memref::CopyOp>(op);
      copy && viewedParameter(copy.getSource()))
    return "expected no copy of a parameter";
  if (llvm::any_of(op->getResultTypes(), llvm::IsaPred<TensorType>))
    return "expected no tensor";
  return {};
}

static Reason notLoops(Operation *op) {
  if (isMoE(op) && !isa<ParameterOp, LoadParameterOp, NumThreadsOp>(op))
    return "expected it to be lowered";
  if (isa_and_nonnull<linalg::LinalgDialect>(op->getDialect()) &&
      !isa<linalg::YieldOp>(op))
    return "expected it to be lowered";
  return notBuffers(op);
}

static Reason notTarget(Operation *op) {
  if (isa<ModuleOp, ParameterOp>(op) ||
      isa_and_nonnull<LLVM::LLVMDialect, omp::OpenMPDialect>(op->getDialect()))
    return {};
  return "expected the llvm or omp dialect";
}

namespace {

struct VerifyFormPass : mlir::moe::impl::VerifyFormPassBase<VerifyFormPass> {
  using VerifyFormPassBase::VerifyFormPassBase;

  void runOnOperation() override {
    static constexpr std::pair<StringLiteral, Reason (*)(Operation *)>
        checks[] = {{"graph", notGraph},
                    {"fused", notFused},
                    {"buffers", notBuffers},
                    {"loops", notLoops},
                    {"target", notTarget}};
    auto [name, check] = checks[static_cast<int>(form.getValue())];
    bool valid = true;
    getOperation().walk([&, name = name, check = check](Operation *op) {
      Reason reason = check(op);
      if (reason.empty())
        return;
      op->emitOpError(reason) << " in the form " << name;
      valid = false;
    });
    if (!valid)
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};

} // namespace
