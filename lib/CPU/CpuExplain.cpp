//===- CpuExplain.cpp - What products and attention cost ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TargetModel.h"

#include "moe/CPU/Cost.h"
#include "moe/CPU/Passes.h"
#include "moe/IR/Describe.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/Format.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPUEXPLAINPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-explain"

using namespace mlir;
using namespace mlir::moe;

/// The layers whose parameters `op` reads slices of; 1 without slices.
static int64_t countLayers(Operation *op) {
  for (Value operand : op->getOperands())
    if (auto load = operand.getDefiningOp<LoadParameterOp>();
        load && !load.getIndices().empty()) {
      auto parameter = SymbolTable::lookupNearestSymbolFrom<ParameterOp>(
          load, load.getParameterAttr());
      return parameter.getTensorType().getDimSize(0);
    }
  return 1;
}

/// `fma 8x32 bf16*f32`: rows and columns of a tile, types of weights and rows.
static std::string describeKernel(const RowLayout &layout, double rows) {
  int64_t most = layout.getTileRows(), all = std::ceil(rows);
  int64_t tile = layout.isAmx()
                     ? std::min(all, most)
                     : llvm::divideCeil(all, llvm::divideCeil(all, most));
  StringRef unit = layout.isAmx() ? "amx" : layout.isDot() ? "dot" : "fma";
  return (unit + " " + Twine(tile) + "x" + Twine(kPanelColumns) + " " +
          stringifyEnum(layout.getFormat()) + "*" +
          stringifyEnum(layout.getCompute()))
      .str();
}

namespace {

/// One line of the table.
struct Estimate {
  Cost cost;
  double seconds = 0;
  StringRef bound = "-";
  std::string kernel;

  void print(llvm::raw_ostream &os, int64_t tokens) const {
    os << llvm::format("  %6d %10.3f %9.2f  %10s %9.1f", int(tokens),
                       cost.bytes / 1e6, cost.operations / 1e6, bound.data(),
                       seconds * 1e6);
    os << (kernel.empty() ? "" : "  ") << kernel << "\n";
  }
};

struct CpuExplainPass final : moe::impl::CpuExplainPassBase<CpuExplainPass> {
  using CpuExplainPassBase::CpuExplainPassBase;

  void runOnOperation() override {
    FailureOr<Target> described = Target::get(getOperation());
    if (failed(described))
      return signalPassFailure();
    target = *described;
    if (tokens.empty())
      tokens = {1, 16, 256, 1024};
    for (StringRef isa : levels) {
      const Level *level = findLevel(isa, getOperation());
      if (!level)
        return signalPassFailure();
      llvm::outs() << isa << ", threads " << threads << "\n";
      for (auto function : getOperation().getOps<func::FuncOp>())
        explain(function, *level);
      llvm::outs() << "\n";
    }
    markAllAnalysesPreserved();
  }

  void explain(func::FuncOp function, const Level &level) {
    SmallVector<Operation *> ops;
    int64_t layers = 1;
    function.walk([&](Operation *op) {
      if (!isa<GroupedMatmulOp, ExpertFfnOp, AttentionOp>(op))
        return;
      ops.push_back(op);
      layers = std::max(layers, countLayers(op));
    });
    if (ops.empty())
      return;

    llvm::raw_ostream &os = llvm::outs();
    os << "\n" << function.getSymName();
    if (layers > 1)
      os << " x" << layers;
    os << "\n  tokens         MB     MFLOP       bound        us  kernel\n";
    SmallVector<Estimate> sums(tokens.size());
    for (Operation *op : ops) {
      os << "  " << describe(op) << "\n";
      for (auto [count, sum] : llvm::zip_equal(tokens, sums)) {
        Estimate estimate = explain(op, count, level);
        estimate.print(os, count);
        sum.cost.bytes += estimate.cost.bytes;
        sum.cost.operations += estimate.cost.operations;
        sum.seconds += estimate.seconds;
      }
    }
    os << "  all\n";
    for (auto [count, sum] : llvm::zip_equal(tokens, sums))
      sum.print(os, count);
  }

  Estimate explain(Operation *op, int64_t count, const Level &level) {
    TargetModel model(target);
    double rate = threads * model.getOperations(level);
    double bandwidth = model.getBandwidth(threads), tiles = 1;
    Estimate estimate;
    estimate.cost = getCost(op, count);
    auto product = [&](auto op) {
      estimate.kernel = "scalar loops";
      rate = model.getScalarOperations();
      if (std::optional<PackFormat> format = op.getPacked()) {
        RowLayout layout(level, *format, op.getCompute());
        rate = threads * model.getOperations(layout);
        bandwidth = model.getBandwidth(threads, layout);
        tiles = getTiles(layout, estimate.cost.rows);
        estimate.kernel = describeKernel(layout, estimate.cost.rows);
      }
    };
    llvm::TypeSwitch<Operation *>(op)
        .Case<GroupedMatmulOp, ExpertFfnOp>(product)
        .Case([&](AttentionOp) { estimate.kernel = "online softmax"; });
    double arithmetic = estimate.cost.operations / rate;
    double memory = estimate.cost.bytes / bandwidth;
    estimate.bound = memory >= arithmetic ? "memory" : "arithmetic";
    estimate.seconds = addSeconds(arithmetic, memory, tiles);
    return estimate;
  }

  Target target;
};

} // namespace
