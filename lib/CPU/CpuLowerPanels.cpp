//===- CpuLowerPanels.cpp - moe.panel_matmul becomes a loop over K --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One step over k loads one register of weights per panel and column register,
// broadcasts each row's element and adds the products to accumulators that are
// carried by an `scf.for`:
//
//   for k: w[p][c] = load panels; for i: a = broadcast rows[k,i];
//          acc[p][i][c] = fma(a, w[p][c], acc[p][i][c])
//
// Accumulators, weights and a broadcast must fit into the registers. Where they
// do not, the columns are cut and the loop is walked once per cut; the first
// walk prefetches what the op asks for.
//
// bf16 weights come in pairs of neighbouring k, one pair per 32-bit lane: the
// lower half is shifted up, the upper half masked, and both are f32.
//
//===----------------------------------------------------------------------===//

#include "moe/CPU/Passes.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWERPANELSPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-panels"

using namespace mlir;
using namespace mlir::moe;

namespace {

/// Emits the loops of one op for the column registers `[begin, end)`.
class KernelEmitter {
public:
  KernelEmitter(PanelMatmulOp op, PatternRewriter &b, int64_t begin,
                int64_t end)
      : op(op), b(b), loc(op.getLoc()), rows(op.getRows()),
        panels(op.getPanels()), begin(begin), end(end) {
    VectorType type = op.getResult().getType();
    numPanels = type.getDimSize(0);
    tile = type.getDimSize(1);
    lanes = type.getDimSize(3);
    f32s = VectorType::get({lanes}, b.getF32Type());
    i32s = VectorType::get({lanes}, b.getI32Type());
  }

  /// The accumulators, in the order panel, row, column register.
  SmallVector<Value> emit();

private:
  using Body = function_ref<SmallVector<Value>(Value iv, ValueRange acc)>;

  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, loc, value);
  }
  SmallVector<Value> loop(int64_t upper, ValueRange acc, Body body);
  void prefetch(Value k);
  SmallVector<Value> step(Value k, ArrayRef<Value> weights, ValueRange acc);
  SmallVector<Value> stepPair(Value block, Value pair, Value k, ValueRange acc,
                              int64_t count);
  SmallVector<Value> emitF32(ValueRange acc);
  SmallVector<Value> emitBF16(ValueRange acc);

  PanelMatmulOp op;
  PatternRewriter &b;
  Location loc;
  Value rows, panels;
  int64_t begin, end, numPanels, tile, lanes;
  VectorType f32s, i32s;
};

} // namespace

SmallVector<Value> KernelEmitter::loop(int64_t upper, ValueRange acc,
                                       Body body) {
  auto loop =
      scf::ForOp::create(b, loc, index(0), index(upper), index(1), acc,
                         [&](OpBuilder &, Location, Value iv, ValueRange args) {
                           scf::YieldOp::create(b, loc, body(iv, args));
                         });
  return loop.getResults();
}

/// Prefetches two cache lines in step `k`, if the op asks for it.
void KernelEmitter::prefetch(Value k) {
  if (!op.getAhead() || begin > 0)
    return;
  int64_t line = 512 / op.getAhead().getType().getElementTypeBitWidth();
  Value at = arith::AddIOp::create(
      b, loc, op.getFrom(), arith::MulIOp::create(b, loc, k, op.getStride()));
  for (int64_t offset : {int64_t(0), line})
    memref::PrefetchOp::create(
        b, loc, op.getAhead(),
        ValueRange{arith::AddIOp::create(b, loc, at, index(offset))},
        /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
}

/// Adds the products of the elements `k` of all rows with `weights`, which are
/// in the order panel, column register.
SmallVector<Value> KernelEmitter::step(Value k, ArrayRef<Value> weights,
                                       ValueRange acc) {
  int64_t columns = end - begin;
  SmallVector<Value> next(acc);
  for (int64_t i = 0; i < tile; ++i) {
    Value element =
        memref::LoadOp::create(b, loc, rows, ValueRange{k, index(i)});
    Value row = vector::BroadcastOp::create(b, loc, f32s, element);
    for (int64_t p = 0; p < numPanels; ++p)
      for (int64_t c = 0; c < columns; ++c) {
        Value &sum = next[(p * tile + i) * columns + c];
        sum = vector::FMAOp::create(b, loc, row, weights[p * columns + c], sum);
      }
  }
  return next;
}

SmallVector<Value> KernelEmitter::emitF32(ValueRange acc) {
  int64_t in = cast<MemRefType>(rows.getType()).getDimSize(0);
  return loop(in, acc, [&](Value k, ValueRange args) {
    prefetch(k);
    SmallVector<Value> weights;
    for (int64_t p = 0; p < numPanels; ++p)
      for (int64_t c = begin; c < end; ++c)
        weights.push_back(vector::LoadOp::create(
            b, loc, f32s, panels, ValueRange{index(p), k, index(c * lanes)}));
    return step(k, weights, args);
  });
}

/// The steps `k` and, if `count` is 2, `k + 1`, whose weights are pair `pair`
/// of `block`.
SmallVector<Value> KernelEmitter::stepPair(Value block, Value pair, Value k,
                                           ValueRange acc, int64_t count) {
  auto pairs = VectorType::get({2 * lanes}, b.getBF16Type());
  auto splat = [&](int32_t value) {
    return arith::ConstantOp::create(b, loc,
                                     DenseElementsAttr::get(i32s, value));
  };
  SmallVector<Value> even, odd;
  for (int64_t p = 0; p < numPanels; ++p)
    for (int64_t c = begin; c < end; ++c) {
      int64_t column = c * lanes;
      Value both =
          vector::LoadOp::create(b, loc, pairs, panels,
                                 ValueRange{index(p), block, index(column / 16),
                                            pair, index(column % 16 * 2)});
      both = vector::BitCastOp::create(b, loc, i32s, both);
      Value low = arith::ShLIOp::create(b, loc, both, splat(16));
      Value high = arith::AndIOp::create(b, loc, both, splat(0xffff0000));
      even.push_back(vector::BitCastOp::create(b, loc, f32s, low));
      odd.push_back(vector::BitCastOp::create(b, loc, f32s, high));
    }
  SmallVector<Value> next = step(k, even, acc);
  if (count == 1)
    return next;
  return step(arith::AddIOp::create(b, loc, k, index(1)), odd, next);
}

SmallVector<Value> KernelEmitter::emitBF16(ValueRange acc) {
  // Columns and the two elements of a pair are one dimension to a load.
  panels = memref::CollapseShapeOp::create(
      b, loc, panels,
      SmallVector<ReassociationIndices>{{0}, {1}, {2}, {3}, {4, 5}});
  int64_t in = cast<MemRefType>(rows.getType()).getDimSize(0);
  auto walk = [&](Value block, int64_t pairs, ValueRange acc) {
    Value first = arith::MulIOp::create(b, loc, block, index(32));
    return loop(pairs, acc, [&](Value pair, ValueRange args) {
      Value k = arith::AddIOp::create(
          b, loc, first, arith::MulIOp::create(b, loc, pair, index(2)));
      prefetch(k);
      return stepPair(block, pair, k, args, 2);
    });
  };
  SmallVector<Value> sums(acc);
  sums = loop(in / 32, sums, [&](Value block, ValueRange args) {
    return walk(block, 16, args);
  });
  int64_t rest = in % 32;
  if (rest > 1)
    sums = walk(index(in / 32), rest / 2, sums);
  if (rest % 2)
    sums = stepPair(index(in / 32), index(rest / 2), index(in - 1), sums, 1);
  return sums;
}

SmallVector<Value> KernelEmitter::emit() {
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(f32s));
  SmallVector<Value> acc(numPanels * tile * (end - begin), zero);
  return cast<MemRefType>(panels.getType()).getElementType().isF32()
             ? emitF32(acc)
             : emitBF16(acc);
}

/// The number of column registers that one loop accumulates: all, or a divisor.
static int64_t columnsPerLoop(VectorType type) {
  // 32 registers of 16 lanes or 16 of 8; a quarter is for weights and a
  // broadcast.
  int64_t accumulators = type.getDimSize(3) == 16 ? 24 : 12;
  int64_t columns = type.getDimSize(2);
  while (columns > 1 &&
         type.getDimSize(0) * type.getDimSize(1) * columns > accumulators)
    columns /= 2;
  return columns;
}

namespace {

struct LowerPanelMatmul final : OpRewritePattern<PanelMatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(PanelMatmulOp op,
                                PatternRewriter &rewriter) const override {
    VectorType type = op.getResult().getType();
    int64_t columns = columnsPerLoop(type);
    Value result = ub::PoisonOp::create(rewriter, op.getLoc(), type);
    for (int64_t begin = 0; begin < type.getDimSize(2); begin += columns) {
      KernelEmitter emitter(op, rewriter, begin, begin + columns);
      SmallVector<Value> sums = emitter.emit();
      const Value *sum = sums.begin();
      for (int64_t p = 0; p < type.getDimSize(0); ++p)
        for (int64_t i = 0; i < type.getDimSize(1); ++i)
          for (int64_t c = begin; c < begin + columns; ++c)
            result =
                vector::InsertOp::create(rewriter, op.getLoc(), *sum++, result,
                                         ArrayRef<int64_t>{p, i, c});
    }
    rewriter.replaceOp(op, result);
    return success();
  }
};

struct CpuLowerPanelsPass final
    : moe::impl::CpuLowerPanelsPassBase<CpuLowerPanelsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerPanelMatmul>(&getContext());
    // Each accumulator is extracted from where it was inserted.
    vector::ExtractOp::getCanonicalizationPatterns(patterns, &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
