//===- CpuExplain.cpp - What products and attention cost ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TargetModel.h"

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

/// Positions that the cache of an attention holds before.
static constexpr int64_t kCached = 512;

namespace {

/// What an op costs for some number of tokens.
struct OpCost : Cost {
  /// Of a product: rows that each of its groups has.
  double rows = 0;
};

} // namespace

static int64_t extent(Value value, int64_t dim) {
  return cast<ShapedType>(value.getType()).getDimSize(dim);
}

static double bytesOf(Value value) {
  auto type = cast<ShapedType>(value.getType());
  return double(type.getNumElements()) * type.getElementTypeBitWidth() / 8;
}

/// Experts that `tokens` tokens choose `k` of, if all are equally likely.
static double activeExperts(double experts, double k, double tokens) {
  return experts * (1 - std::pow(1 - k / experts, tokens));
}

static OpCost costOf(GroupedMatmulOp op, double tokens) {
  double in = extent(op.getRows(), 1), out = extent(op.getInit(), 1);
  double share = 1, groups = 1;
  if (op.getOffsets()) {
    double all = extent(op.getWeights(), 0);
    groups = activeExperts(all, 1, tokens);
    share = groups / all;
  }
  OpCost cost;
  cost.operations = 2 * tokens * in * out;
  cost.bytes = share * bytesOf(op.getWeights()) + 4 * tokens * (in + out);
  cost.rows = tokens / groups;
  return cost;
}

static OpCost costOf(ExpertFfnOp op, double tokens) {
  double hidden = extent(op.getX(), 1), k = extent(op.getIdx(), 1);
  double experts = op.getNumExperts();
  double inner = op.getInner() ? *op.getInner() : extent(op.getWeights()[0], 1);
  double active = activeExperts(experts, k, tokens), slots = tokens * k;
  OpCost cost;
  cost.operations =
      2 * slots * hidden * inner * (op.getClauses().isGated() ? 3 : 2);
  for (Value weights : op.getWeights())
    cost.bytes += active / experts * bytesOf(weights);
  // Tokens in and out; the rows of slots out and in again.
  cost.bytes += 4 * hidden * (2 * tokens + 2 * slots);
  cost.rows = slots / active;
  return cost;
}

static OpCost costOf(AttentionOp op, double tokens) {
  double heads = extent(op.getQ(), 1),
         keyValueHeads = extent(op.getKCache(), 2);
  double keys = extent(op.getKCache(), 4), values = extent(op.getVCache(), 4);
  double most = std::min<double>(op.getWindow().value_or(INT64_MAX),
                                 op.getChunk().value_or(INT64_MAX));
  double visible = std::min(kCached + (tokens + 1) / 2, most);
  OpCost cost;
  cost.operations = 2 * tokens * heads * visible * (keys + values);
  bool isShared = op.getKCache() == op.getVCache();
  cost.bytes =
      4 * (kCached + tokens) * keyValueHeads * (keys + (isShared ? 0 : values));
  return cost;
}

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
    bool isSum = false;
    Estimate estimate;
    auto product = [&](auto op) {
      OpCost cost = costOf(op, count);
      estimate.cost = cost;
      estimate.kernel = "scalar loops";
      rate = model.getScalarOperations();
      if (std::optional<PackFormat> format = op.getPacked()) {
        RowLayout layout(level, *format, op.getCompute());
        rate = threads * model.getOperations(layout);
        isSum = cost.rows > layout.getTileRows();
        estimate.kernel = describeKernel(layout, cost.rows);
      }
    };
    llvm::TypeSwitch<Operation *>(op)
        .Case<GroupedMatmulOp, ExpertFfnOp>(product)
        .Case([&](AttentionOp attention) {
          estimate.cost = costOf(attention, count);
          estimate.kernel = "online softmax";
        });
    double arithmetic = estimate.cost.operations / rate;
    double memory = estimate.cost.bytes / model.getBandwidth(threads);
    estimate.bound = memory >= arithmetic ? "memory" : "arithmetic";
    estimate.seconds =
        isSum ? memory + arithmetic : std::max(memory, arithmetic);
    return estimate;
  }

  Target target;
};

} // namespace
