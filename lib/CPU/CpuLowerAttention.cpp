//===- CpuLowerAttention.cpp - attention, cache_update to vector code -----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Attention is cut into work items (AttentionItem.h), which run in parallel. A
// cache is updated row by row.
//
//===----------------------------------------------------------------------===//

#include "AttentionItem.h"
#include "Loops.h"
#include "Vectors.h"
#include "WorkList.h"

#include "moe/CPU/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWERATTENTIONPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-attention"

using namespace mlir;
using namespace mlir::moe;

/// The keys that a row sees, at most.
static Value maxKeys(ImplicitLocOpBuilder &b, AttentionOp op) {
  Value zero = constantIndex(b, 0);
  auto at = [&](ImplicitLocOpBuilder &b, Value i32s, Value i) {
    return toIndex(b, load(b, i32s, i));
  };
  Value keys = forLoop(b, zero, dim(b, op.getPast(), 0), zero,
                       [&](ImplicitLocOpBuilder &b, Value sequence,
                           ValueRange most) -> SmallVector<Value> {
                         Value own;
                         if (Value lengths = op.getLengths()) {
                           own = at(b, lengths, sequence);
                         } else {
                           Value rows =
                               sub(b, at(b, op.getCu(), add(b, sequence, 1)),
                                   at(b, op.getCu(), sequence));
                           own = add(b, at(b, op.getPast(), sequence), rows);
                         }
                         return {max(b, most[0], own)};
                       })
                   .getResult(0);
  for (std::optional<uint64_t> bound : {op.getWindow(), op.getChunk()})
    if (bound)
      keys = min(b, keys, *bound);
  return keys;
}

/// Checks that vectors can be loaded from `buffer`.
static LogicalResult expectRows(Operation *op, Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  if (type.isLastDimUnitStride())
    return success();
  return op->emitOpError("expected a buffer whose last dimension has stride 1, "
                         "got ")
         << type;
}

static LogicalResult lower(AttentionOp op) {
  const Level *level = getLevel(op);
  if (!level)
    return failure();
  for (Value buffer : {op.getQ(), op.getInit(), Value(op.getKCache())})
    if (failed(expectRows(op, buffer)))
      return failure();
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  RowRuns runs(op, AttentionItem::maxRows(op));
  Value count = runs.count(b);
  int64_t size = op.getKCache().getType().getDimSize(4);
  forEachItem(b, mul(b, count, AttentionItem::itemsPerRun(op)),
              mul(b, maxKeys(b, op), size),
              [&](ImplicitLocOpBuilder &b, const WorkItem &item) {
                // Late rows see more: from both ends in turn, so that threads
                // end at about the same time.
                Value number = rem(b, item.number, count),
                      half = div(b, number, 2);
                Value fromEnd =
                    sub(b, sub(b, count, constantIndex(b, 1)), half);
                Value even = lessEqual(b, rem(b, number, 2), 0);
                Value chosen = arith::SelectOp::create(b, even, half, fromEnd);
                // Its stack buffers are for one item.
                auto scope = memref::AllocaScopeOp::create(b, TypeRange());
                OpBuilder::InsertionGuard guard(b);
                b.createBlock(&scope.getBodyRegion());
                AttentionItem(op, *level)
                    .emit(b, runs.at(b, chosen), div(b, item.number, count));
                memref::AllocaScopeReturnOp::create(b, ValueRange());
              });
  op.erase();
  return success();
}

static LogicalResult lower(CacheUpdateOp op) {
  const Level *level = getLevel(op);
  if (!level || failed(expectRows(op, op.getRows())) ||
      failed(expectRows(op, op.getCache())))
    return failure();
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  ArrayRef<int64_t> shape = op.getCache().getType().getShape();
  RowRuns rows(op, /*length=*/1);
  Value count = rows.count(b);
  auto copy = [&](ImplicitLocOpBuilder &b, Value i) {
    RowRun row = rows.at(b, i);
    forEach(b, constantIndex(b, shape[2]),
            [&](ImplicitLocOpBuilder &b, Value head) {
              forEachRegister(
                  b, level->lanes, shape[4],
                  [&](ImplicitLocOpBuilder &b, Value d, int64_t count) {
                    Value values = loadLanes(b, level->lanes, op.getRows(),
                                             {row.first, head, d}, count);
                    storeLanes(b, values, op.getCache(),
                               {op.getLayer(), row.slot, head, row.position, d},
                               count);
                  });
            });
  };
  forEachInParallel(b, count, 4 * shape[2] * shape[4], copy);
  op.erase();
  return success();
}

namespace {

struct CpuLowerAttentionPass final
    : moe::impl::CpuLowerAttentionPassBase<CpuLowerAttentionPass> {
  void runOnOperation() override {
    WalkResult walk = getOperation()->walk([](Operation *op) -> WalkResult {
      if (auto attention = dyn_cast<AttentionOp>(op))
        if (!attention.getResult())
          return lower(attention);
      if (auto update = dyn_cast<CacheUpdateOp>(op))
        return lower(update);
      return success();
    });
    if (walk.wasInterrupted())
      return signalPassFailure();
  }
};

} // namespace
