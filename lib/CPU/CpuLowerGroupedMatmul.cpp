//===- CpuLowerGroupedMatmul.cpp - Packed products become panel kernels ---===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Loops.h"
#include "Products.h"

#include "moe/CPU/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWERGROUPEDMATMULPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-grouped-matmul"

using namespace mlir;
using namespace mlir::moe;

static LogicalResult lower(GroupedMatmulOp op, const Target &target) {
  const Level *level = getLevel(op);
  if (!level)
    return failure();
  if (failed(expectKernel(op, *level, op.getCompute())))
    return failure();
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  Value rows = op.getRows(), out = op.getInit();
  Value numRows = dim(b, rows, 0);
  Value offsets = op.getOffsets(), weights = op.getWeights();
  Blocking blocking =
      getBlocking(target, *level, *op.getPacked(), op.getCompute(),
                  cast<MemRefType>(rows.getType()).getDimSize(1),
                  cast<MemRefType>(weights.getType()));
  RowChunks chunks =
      offsets
          ? RowChunks::grouped(
                b, offsets, cast<MemRefType>(weights.getType()).getDimSize(0),
                numRows, blocking)
          : RowChunks::dense(b, numRows, blocking);
  auto rowOf = [](ImplicitLocOpBuilder &b, const RowChunk &chunk, Value i) {
    return add(b, chunk.first, i);
  };
  Product product = {rows, weights, *op.getPacked(), op.getCompute(), rowOf};
  multiply(b, *level, chunks, product,
           [&](ImplicitLocOpBuilder &b, const PanelSums &sums) {
             Value column = mul(b, sums.panel, kPanelColumns);
             forEachRow(
                 b, *level, sums,
                 [&](ImplicitLocOpBuilder &b, Value i, ValueRange columns) {
                   storeColumns(b, columns, out, rowOf(b, sums.chunk, i),
                                column);
                 });
           });
  op.erase();
  return success();
}

namespace {

struct CpuLowerGroupedMatmulPass final
    : moe::impl::CpuLowerGroupedMatmulPassBase<CpuLowerGroupedMatmulPass> {
  void runOnOperation() override {
    FailureOr<Target> target = Target::get(getOperation());
    if (failed(target))
      return signalPassFailure();
    SmallVector<GroupedMatmulOp> ops;
    getOperation()->walk([&](GroupedMatmulOp op) {
      if (op.getPacked() && !op.getResult())
        ops.push_back(op);
    });
    for (GroupedMatmulOp op : ops)
      if (failed(lower(op, *target)))
        return signalPassFailure();
  }
};

} // namespace
