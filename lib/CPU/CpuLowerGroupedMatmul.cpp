//===- CpuLowerGroupedMatmul.cpp - Packed products become panel kernels ---===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Loops.h"
#include "RowBlocks.h"

#include "moe/CPU/Passes.h"
#include "moe/IR/Packing.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWERGROUPEDMATMULPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-grouped-matmul"

using namespace mlir;
using namespace mlir::moe;

static LogicalResult lower(GroupedMatmulOp op) {
  const Level *level = getLevel(op);
  if (!level)
    return failure();
  if (op.getPacked() != PackFormat::F32 && op.getPacked() != PackFormat::BF16)
    return op.emitOpError("expected weights packed as f32 or bf16, got ")
           << stringifyPackFormat(*op.getPacked());
  if (op.getCompute() != Compute::F32)
    return op.emitOpError("expected compute f32, got ")
           << stringifyCompute(op.getCompute());
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  Value rows = op.getRows(), out = op.getInit();
  Value numRows = dim(b, rows, 0);
  Value offsets = op.getOffsets(), weights = op.getWeights();
  RowBlocks blocks =
      offsets ? RowBlocks::grouped(
                    b, *level, offsets,
                    cast<MemRefType>(weights.getType()).getDimSize(0), numRows)
              : RowBlocks::dense(b, *level, numRows);
  PackedRows packed = blocks.pack(
      b, rows, [](ImplicitLocOpBuilder &, Value row) { return row; });
  blocks.multiply(b, packed, weights,
                  [&](ImplicitLocOpBuilder &b, const RowOfPanel &row) {
                    storeColumns(b, row.columns, out, row.position,
                                 mul(b, row.panel, kPanelColumns));
                  });
  op.erase();
  return success();
}

namespace {

struct CpuLowerGroupedMatmulPass final
    : moe::impl::CpuLowerGroupedMatmulPassBase<CpuLowerGroupedMatmulPass> {
  void runOnOperation() override {
    SmallVector<GroupedMatmulOp> ops;
    getOperation()->walk([&](GroupedMatmulOp op) {
      if (op.getPacked() && !op.getResult())
        ops.push_back(op);
    });
    for (GroupedMatmulOp op : ops)
      if (failed(lower(op)))
        return signalPassFailure();
  }
};

} // namespace
