//===- LowerAttention.cpp - attention, cache_update to scalar loops -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// for each sequence, row and head:
//   m = max_j s(j);  l = 0;  o = 0           with a sink m >= sink,
//   for j ascending:                         l = exp(sink - m)
//     p = exp(s(j) - m);  l += p;  o += p * v[j]
//   o /= l
// with s(j) = scale * q.k[j] + bias(j - p), softly capped, over the positions
// that the row at p sees.
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"
#include "moe/Lower/Passes.h"
#include "moe/Support/Scalars.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

#include <limits>

#define DEBUG_TYPE "moe-lower-attention"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERATTENTIONPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

/// Where a row belongs: its index among all rows, its sequence, its position
/// in there and its cache slot.
struct RaggedRow {
  Value row, sequence, position, slot;
};

static Value load(ImplicitLocOpBuilder &b, Value buffer, ValueRange at) {
  return memref::LoadOp::create(b, buffer, at);
}

static void loop(ImplicitLocOpBuilder &b, Value lower, Value upper,
                 function_ref<void(ImplicitLocOpBuilder &, Value)> body) {
  forLoop(
      b, lower, upper, {},
      [&](ImplicitLocOpBuilder &b, Value i, ValueRange) -> SmallVector<Value> {
        body(b, i);
        return {};
      });
}

/// Calls `body` for every row of every sequence.
static void
forEachRow(ImplicitLocOpBuilder &b, Value cu, Value past, Value slot,
           function_ref<void(ImplicitLocOpBuilder &, RaggedRow)> body) {
  Value zero = constantIndex(b, 0);
  Value sequences = memref::DimOp::create(b, past, zero);
  loop(b, zero, sequences, [&](ImplicitLocOpBuilder &b, Value s) {
    Value first = toIndex(b, load(b, cu, s));
    Value next = arith::AddIOp::create(b, s, constantIndex(b, 1));
    Value end = toIndex(b, load(b, cu, next));
    Value cached = toIndex(b, load(b, past, s));
    Value at = toIndex(b, load(b, slot, s));
    loop(b, first, end, [&](ImplicitLocOpBuilder &b, Value row) {
      Value local = arith::SubIOp::create(b, row, first);
      body(b, {row, s, arith::AddIOp::create(b, cached, local), at});
    });
  });
}

namespace {

struct LowerCacheUpdate : OpRewritePattern<CacheUpdateOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(CacheUpdateOp op,
                                PatternRewriter &rewriter) const override {
    auto type = dyn_cast<MemRefType>(op.getRows().getType());
    if (!type)
      return rewriter.notifyMatchFailure(op, "expected memrefs");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value zero = constantIndex(b, 0);
    Value kv = constantIndex(b, type.getDimSize(1));
    Value size = constantIndex(b, type.getDimSize(2));
    forEachRow(b, op.getCu(), op.getPast(), op.getSlot(),
               [&](ImplicitLocOpBuilder &b, RaggedRow r) {
                 loop(b, zero, kv, [&](ImplicitLocOpBuilder &b, Value h) {
                   loop(b, zero, size, [&](ImplicitLocOpBuilder &b, Value d) {
                     Value value = load(b, op.getRows(), {r.row, h, d});
                     memref::StoreOp::create(
                         b, value, op.getCache(),
                         ValueRange{op.getLayer(), r.slot, h, r.position, d});
                   });
                 });
               });
    rewriter.eraseOp(op);
    return success();
  }
};

struct LowerAttention : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AttentionOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getResult())
      return rewriter.notifyMatchFailure(op, "expected memrefs");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    int64_t heads = cast<ShapedType>(op.getQ().getType()).getDimSize(1);
    forEachRow(b, op.getCu(), op.getPast(), op.getSlot(),
               [&](ImplicitLocOpBuilder &b, RaggedRow r) {
                 loop(b, constantIndex(b, 0), constantIndex(b, heads),
                      [&](ImplicitLocOpBuilder &b, Value head) {
                        lowerHead(b, op, r, head);
                      });
               });
    rewriter.eraseOp(op);
    return success();
  }

  /// The bias of position `j` for a row.
  static Value biasAt(ImplicitLocOpBuilder &b, AttentionOp op, RaggedRow r,
                      Value head, Value j) {
    int64_t columns = cast<ShapedType>(op.getBias().getType()).getDimSize(1);
    Value distance = arith::SubIOp::create(b, j, r.position);
    Value column =
        arith::AddIOp::create(b, distance, constantIndex(b, columns / 2));
    column = arith::MaxSIOp::create(b, column, constantIndex(b, 0));
    column = arith::MinSIOp::create(b, column, constantIndex(b, columns - 1));
    return load(b, op.getBias(), {head, column});
  }

  static void lowerHead(ImplicitLocOpBuilder &b, AttentionOp op, RaggedRow r,
                        Value head) {
    auto q = cast<ShapedType>(op.getQ().getType());
    int64_t kv = op.getKCache().getType().getDimSize(2);
    Value zero = constantIndex(b, 0), one = constantIndex(b, 1);
    Value size = constantIndex(b, q.getDimSize(2));
    Value kvHead =
        arith::DivUIOp::create(b, head, constantIndex(b, q.getDimSize(1) / kv));
    Value end = arith::AddIOp::create(b, r.position, one);
    Value begin = zero;
    if (op.getWindow()) {
      Value start =
          arith::SubIOp::create(b, end, constantIndex(b, *op.getWindow()));
      begin = arith::MaxSIOp::create(b, start, zero);
    }
    if (op.getChunk()) {
      Value chunk = constantIndex(b, *op.getChunk());
      Value start = arith::MulIOp::create(
          b, arith::DivUIOp::create(b, r.position, chunk), chunk);
      begin = arith::MaxSIOp::create(b, start, begin);
    }
    if (op.getLengths())
      end = toIndex(b, load(b, op.getLengths(), r.sequence));
    auto cached = [&](ImplicitLocOpBuilder &b, Value cache, Value j, Value d) {
      return load(b, cache, {op.getLayer(), r.slot, kvHead, j, d});
    };
    auto score = [&](ImplicitLocOpBuilder &b, Value j) -> Value {
      Value dot = forLoop(b, zero, size, constantF32(b, 0),
                          [&](ImplicitLocOpBuilder &b, Value d,
                              ValueRange sum) -> SmallVector<Value> {
                            Value product = arith::MulFOp::create(
                                b, load(b, op.getQ(), {r.row, head, d}),
                                cached(b, op.getKCache(), j, d));
                            return {arith::AddFOp::create(b, sum[0], product)};
                          })
                      .getResult(0);
      Value scaled = arith::MulFOp::create(
          b, dot, constantF32(b, op.getScale().convertToFloat()));
      if (op.getBias())
        scaled = arith::AddFOp::create(b, scaled, biasAt(b, op, r, head, j));
      if (!op.getSoftcap())
        return scaled;
      Value cap = constantF32(b, op.getSoftcap()->convertToFloat());
      Value part = arith::DivFOp::create(b, scaled, cap);
      return arith::MulFOp::create(b, cap, math::TanhOp::create(b, part));
    };
    auto update = [&](ImplicitLocOpBuilder &b, Value d,
                      function_ref<Value(Value)> change) {
      Value old = load(b, op.getInit(), {r.row, head, d});
      memref::StoreOp::create(b, change(old), op.getInit(),
                              ValueRange{r.row, head, d});
    };

    Value sink;
    if (op.getSinks())
      sink = toF32(b, load(b, op.getSinks(), head));
    Value lowest = constantF32(b, -std::numeric_limits<float>::infinity());
    Value max =
        forLoop(b, begin, end, sink ? sink : lowest,
                [&](ImplicitLocOpBuilder &b, Value j,
                    ValueRange best) -> SmallVector<Value> {
                  return {arith::MaximumFOp::create(b, best[0], score(b, j))};
                })
            .getResult(0);
    loop(b, zero, size, [&](ImplicitLocOpBuilder &b, Value d) {
      update(b, d, [&](Value) { return constantF32(b, 0); });
    });
    Value first = constantF32(b, 0);
    if (sink)
      first = math::ExpOp::create(b, arith::SubFOp::create(b, sink, max));
    Value sum =
        forLoop(b, begin, end, first,
                [&](ImplicitLocOpBuilder &b, Value j,
                    ValueRange sum) -> SmallVector<Value> {
                  Value p = math::ExpOp::create(
                      b, arith::SubFOp::create(b, score(b, j), max));
                  loop(b, zero, size, [&](ImplicitLocOpBuilder &b, Value d) {
                    update(b, d, [&](Value old) -> Value {
                      return arith::AddFOp::create(
                          b, old,
                          arith::MulFOp::create(
                              b, p, cached(b, op.getVCache(), j, d)));
                    });
                  });
                  return {arith::AddFOp::create(b, sum[0], p)};
                })
            .getResult(0);
    loop(b, zero, size, [&](ImplicitLocOpBuilder &b, Value d) {
      update(b, d, [&](Value old) -> Value {
        return arith::DivFOp::create(b, old, sum);
      });
    });
  }
};

struct LowerAttentionPass
    : mlir::moe::impl::LowerAttentionPassBase<LowerAttentionPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerAttention, LowerCacheUpdate>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
