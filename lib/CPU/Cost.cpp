//===- Cost.cpp - What products and attention cost ------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/CPU/Cost.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

/// Positions that the cache of an attention holds before.
static constexpr int64_t kCached = 512;

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

static Cost costOf(GroupedMatmulOp op, double tokens) {
  double in = extent(op.getRows(), 1), out = extent(op.getInit(), 1);
  double share = 1, groups = 1;
  if (op.getOffsets()) {
    double all = extent(op.getWeights(), 0);
    groups = activeExperts(all, 1, tokens);
    share = groups / all;
  }
  Cost cost;
  cost.operations = 2 * tokens * in * out;
  cost.bytes = share * bytesOf(op.getWeights()) + 4 * tokens * (in + out);
  cost.rows = tokens / groups;
  return cost;
}

static Cost costOf(ExpertFfnOp op, double tokens) {
  double hidden = extent(op.getX(), 1), k = extent(op.getIdx(), 1);
  double experts = op.getNumExperts();
  double inner = op.getInner() ? *op.getInner() : extent(op.getWeights()[0], 1);
  double active = activeExperts(experts, k, tokens), slots = tokens * k;
  Cost cost;
  cost.operations =
      2 * slots * hidden * inner * (op.getClauses().isGated() ? 3 : 2);
  for (Value weights : op.getWeights())
    cost.bytes += active / experts * bytesOf(weights);
  // Tokens in and out; of each slot its row in, and the rows between the
  // products and behind them out and in.
  cost.bytes += 4 * (2 * tokens * hidden + slots * (3 * hidden + 2 * inner));
  cost.rows = slots / active;
  return cost;
}

static Cost costOf(AttentionOp op, double tokens) {
  double heads = extent(op.getQ(), 1),
         keyValueHeads = extent(op.getKCache(), 2);
  double keys = extent(op.getKCache(), 4), values = extent(op.getVCache(), 4);
  double most = std::min<double>(op.getWindow().value_or(INT64_MAX),
                                 op.getChunk().value_or(INT64_MAX));
  double visible = std::min(kCached + (tokens + 1) / 2, most);
  Cost cost;
  cost.operations = 2 * tokens * heads * visible * (keys + values);
  bool isShared = op.getKCache() == op.getVCache();
  cost.bytes =
      4 * (kCached + tokens) * keyValueHeads * (keys + (isShared ? 0 : values));
  return cost;
}

Cost mlir::moe::getCost(Operation *op, double tokens) {
  return llvm::TypeSwitch<Operation *, Cost>(op)
      .Case<GroupedMatmulOp, ExpertFfnOp, AttentionOp>(
          [&](auto op) { return costOf(op, tokens); });
}
