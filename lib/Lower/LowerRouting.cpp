//===- LowerRouting.cpp - score, select, weigh, assign to loops -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each op alone, on tensors, one scalar after the other. `select` walks the
// experts of a token k times; a candidate is the pair (key, index) folded into
// one i64 that orders as the op's description says, so that "the next best" is
// "the largest below the last".
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"
#include "moe/Lower/Passes.h"
#include "moe/Support/Scalars.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

#include <limits>

#define DEBUG_TYPE "moe-lower-routing"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERROUTINGPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

/// An uninitialised tensor of extents `sizes`.
static Value empty(ImplicitLocOpBuilder &b, ArrayRef<OpFoldResult> sizes,
                   Type element) {
  return tensor::EmptyOp::create(b, sizes, element);
}

static Value filled(ImplicitLocOpBuilder &b, ArrayRef<OpFoldResult> sizes,
                    Value value) {
  return linalg::FillOp::create(b, value, empty(b, sizes, value.getType()))
      .getResult(0);
}

/// A linalg.generic over [T,E]: operands are rank 2 (`te`) or rank 1 (`t`); the
/// expert dimension is a reduction where `out` has rank 1.
static Value
rowwise(ImplicitLocOpBuilder &b, ValueRange ins, Value out,
        function_ref<Value(ImplicitLocOpBuilder &, ValueRange)> body) {
  auto rankOf = [](Value v) { return cast<ShapedType>(v.getType()).getRank(); };
  SmallVector<AffineMap> maps;
  for (Value v : ins)
    maps.push_back(b.getMultiDimIdentityMap(2).getMajorSubMap(rankOf(v)));
  maps.push_back(b.getMultiDimIdentityMap(2).getMajorSubMap(rankOf(out)));
  SmallVector<utils::IteratorType> iterators = {
      utils::IteratorType::parallel, rankOf(out) == 1
                                         ? utils::IteratorType::reduction
                                         : utils::IteratorType::parallel};
  return linalg::GenericOp::create(
             b, out.getType(), ins, out, maps, iterators,
             [&](OpBuilder &nested, Location loc, ValueRange args) {
               ImplicitLocOpBuilder inner(loc, nested);
               linalg::YieldOp::create(inner, body(inner, args));
             })
      .getResult(0);
}

namespace {

/// score softmax -> max, exp and sum, div
struct LowerScore : OpRewritePattern<ScoreOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ScoreOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value logits = op.getLogits();
    SmallVector<OpFoldResult> sizes =
        tensor::getMixedSizes(b, op.getLoc(), logits);
    Value lowest = constantF32(b, -std::numeric_limits<float>::infinity());
    Value max = rowwise(b, logits, filled(b, sizes[0], lowest),
                        [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                          return arith::MaximumFOp::create(b, v[0], v[1]);
                        });
    Value exp = rowwise(b, {logits, max}, empty(b, sizes, b.getF32Type()),
                        [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                          return math::ExpOp::create(
                              b, arith::SubFOp::create(b, v[0], v[1]));
                        });
    Value sum = rowwise(b, exp, filled(b, sizes[0], constantF32(b, 0)),
                        [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                          return arith::AddFOp::create(b, v[1], v[0]);
                        });
    rewriter.replaceOp(
        op, rowwise(b, {exp, sum}, empty(b, sizes, b.getF32Type()),
                    [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                      return arith::DivFOp::create(b, v[0], v[1]);
                    }));
    return success();
  }
};

} // namespace

/// Folds an f32 key and an index into an i64 that orders by descending key,
/// then ascending index; NaN is least.
static Value candidate(ImplicitLocOpBuilder &b, Value key, Value index) {
  // -0 + 0 = +0, so that zeros of both signs tie.
  Value zero = constantF32(b, 0);
  Value positive = arith::AddFOp::create(b, key, zero);
  Value bits = arith::BitcastOp::create(b, b.getI32Type(), positive);
  Value flipped = arith::XOrIOp::create(
      b, bits, constantI32(b, std::numeric_limits<int32_t>::max()));
  Value isNegative = arith::CmpIOp::create(b, arith::CmpIPredicate::slt, bits,
                                           constantI32(b, 0));
  Value ordered = arith::SelectOp::create(b, isNegative, flipped, bits);
  Value isNaN = arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, key, key);
  ordered = arith::SelectOp::create(
      b, isNaN, constantI32(b, std::numeric_limits<int32_t>::min()), ordered);
  Type i64 = b.getI64Type();
  Value high = arith::ShLIOp::create(b, arith::ExtSIOp::create(b, i64, ordered),
                                     arith::ConstantIntOp::create(b, 32, 64));
  Value low = arith::SubIOp::create(
      b, constantI32(b, std::numeric_limits<int32_t>::max()), toI32(b, index));
  return arith::OrIOp::create(b, high, arith::ExtUIOp::create(b, i64, low));
}

namespace {

/// select top k -> k sweeps over the experts of each token
struct LowerSelect : OpRewritePattern<SelectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SelectOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value key = op.getKey();
    SmallVector<OpFoldResult> sizes =
        tensor::getMixedSizes(b, op.getLoc(), key);
    Value zero = constantIndex(b, 0);
    Value tokens = getValueOrCreateConstantIndexOp(b, op.getLoc(), sizes[0]);
    Value experts = getValueOrCreateConstantIndexOp(b, op.getLoc(), sizes[1]);
    Value k = constantIndex(b, op.getK());
    Value none = arith::ConstantIntOp::create(
        b, std::numeric_limits<int64_t>::min(), 64);
    Value all = arith::ConstantIntOp::create(
        b, std::numeric_limits<int64_t>::max(), 64);
    auto idxType = cast<RankedTensorType>(op.getIdx().getType());
    Value init = empty(b, {sizes[0], b.getIndexAttr(op.getK())},
                       idxType.getElementType());
    // The largest candidate of token `t` below `last`.
    auto next = [&](ImplicitLocOpBuilder &b, Value t, Value last) -> Value {
      return forLoop(
                 b, zero, experts, none,
                 [&](ImplicitLocOpBuilder &b, Value e,
                     ValueRange best) -> SmallVector<Value> {
                   Value c = candidate(
                       b, tensor::ExtractOp::create(b, key, ValueRange{t, e}),
                       e);
                   Value below = arith::CmpIOp::create(
                       b, arith::CmpIPredicate::slt, c, last);
                   Value masked = arith::SelectOp::create(b, below, c, none);
                   return {arith::MaxSIOp::create(b, best[0], masked)};
                 })
          .getResult(0);
    };
    auto rows = forLoop(
        b, zero, tokens, init,
        [&](ImplicitLocOpBuilder &b, Value t,
            ValueRange idx) -> SmallVector<Value> {
          return {
              forLoop(b, zero, k, {idx[0], all},
                      [&](ImplicitLocOpBuilder &b, Value j,
                          ValueRange carried) -> SmallVector<Value> {
                        Value best = next(b, t, carried[1]);
                        Value low =
                            arith::TruncIOp::create(b, b.getI32Type(), best);
                        Value index = arith::SubIOp::create(
                            b,
                            constantI32(b, std::numeric_limits<int32_t>::max()),
                            low);
                        return {tensor::InsertOp::create(b, index, carried[0],
                                                         ValueRange{t, j}),
                                best};
                      })
                  .getResult(0)};
        });
    rewriter.replaceOp(op, rows.getResult(0));
    return success();
  }
};

/// weigh -> gather (and divide by the sum of the row)
struct LowerWeigh : OpRewritePattern<WeighOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(WeighOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    SmallVector<OpFoldResult> sizes =
        tensor::getMixedSizes(b, op.getLoc(), op.getIdx());
    Value gathered = rowwise(
        b, op.getIdx(), empty(b, sizes, b.getF32Type()),
        [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
          Value zero = constantI32(b, 0);
          Value token = linalg::IndexOp::create(b, 0);
          Value expert = toIndex(b, arith::MaxSIOp::create(b, v[0], zero));
          Value weight = tensor::ExtractOp::create(b, op.getScores(),
                                                   ValueRange{token, expert});
          Value chosen =
              arith::CmpIOp::create(b, arith::CmpIPredicate::sge, v[0], zero);
          return arith::SelectOp::create(b, chosen, weight, constantF32(b, 0));
        });
    if (op.getNorm() == Norm::Sum) {
      Value sum = rowwise(b, gathered, filled(b, sizes[0], constantF32(b, 0)),
                          [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                            return arith::AddFOp::create(b, v[1], v[0]);
                          });
      gathered = rowwise(b, {gathered, sum}, empty(b, sizes, b.getF32Type()),
                         [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                           return arith::DivFOp::create(b, v[0], v[1]);
                         });
    }
    rewriter.replaceOp(op, gathered);
    return success();
  }
};

/// assign -> counting sort
struct LowerAssign : OpRewritePattern<AssignOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AssignOp op,
                                PatternRewriter &rewriter) const override;
};

} // namespace

/// Calls `body(t, j, expert, carried)` for every slot with an expert, in flat
/// order.
static SmallVector<Value>
forEachSlot(ImplicitLocOpBuilder &b, Value idx, ValueRange inits,
            function_ref<SmallVector<Value>(ImplicitLocOpBuilder &, Value,
                                            Value, Value, ValueRange)>
                body) {
  Value zero = constantIndex(b, 0);
  Value tokens = tensor::DimOp::create(b, idx, 0);
  Value k = tensor::DimOp::create(b, idx, 1);
  auto slot = [&](ImplicitLocOpBuilder &b, Value t, Value j,
                  ValueRange carried) -> SmallVector<Value> {
    Value expert = tensor::ExtractOp::create(b, idx, ValueRange{t, j});
    Value chosen = arith::CmpIOp::create(b, arith::CmpIPredicate::sge, expert,
                                         constantI32(b, 0));
    auto ifOp = scf::IfOp::create(
        b, chosen,
        [&](OpBuilder &nested, Location loc) {
          ImplicitLocOpBuilder inner(loc, nested);
          scf::YieldOp::create(
              inner, body(inner, t, j, toIndex(inner, expert), carried));
        },
        [&](OpBuilder &nested, Location loc) {
          scf::YieldOp::create(nested, loc, carried);
        });
    return ifOp.getResults();
  };
  return forLoop(b, zero, tokens, inits,
                 [&](ImplicitLocOpBuilder &b, Value t,
                     ValueRange outer) -> SmallVector<Value> {
                   return forLoop(b, zero, k, outer,
                                  [&](ImplicitLocOpBuilder &b, Value j,
                                      ValueRange inner) {
                                    return slot(b, t, j, inner);
                                  })
                       .getResults();
                 })
      .getResults();
}

LogicalResult LowerAssign::matchAndRewrite(AssignOp op,
                                           PatternRewriter &rewriter) const {
  ImplicitLocOpBuilder b(op.getLoc(), rewriter);
  Value idx = op.getIdx();
  ReifiedRankedShapedTypeDims sizes;
  if (failed(op.reifyResultShapes(b, sizes)))
    return failure();
  Value zero = constantIndex(b, 0), one = constantIndex(b, 1);
  Value none = constantI32(b, -1), i32One = constantI32(b, 1);
  auto increment = [&](ImplicitLocOpBuilder &b, Value counts,
                       Value at) -> std::pair<Value, Value> {
    Value old = tensor::ExtractOp::create(b, counts, at);
    Value next = arith::AddIOp::create(b, old, i32One);
    return {old, tensor::InsertOp::create(b, next, counts, at)};
  };

  // offsets[e+1] counts expert e; a running sum makes prefix sums of counts.
  Value counts =
      forEachSlot(b, idx, filled(b, sizes[2], constantI32(b, 0)),
                  [&](ImplicitLocOpBuilder &b, Value, Value, Value expert,
                      ValueRange carried) -> SmallVector<Value> {
                    Value at = arith::AddIOp::create(b, expert, one);
                    return {increment(b, carried[0], at).second};
                  })[0];
  Value last = constantIndex(b, op.getExperts() + 1);
  Value offsets =
      forLoop(b, zero, last, {counts, constantI32(b, 0)},
              [&](ImplicitLocOpBuilder &b, Value e,
                  ValueRange carried) -> SmallVector<Value> {
                Value sum = arith::AddIOp::create(
                    b, carried[1], tensor::ExtractOp::create(b, carried[0], e));
                return {tensor::InsertOp::create(b, sum, carried[0], e), sum};
              })
          .getResult(0);

  // Each expert's next free row starts at its offset.
  SmallVector<Value> placed = forEachSlot(
      b, idx, {filled(b, sizes[0], none), filled(b, sizes[1], none), offsets},
      [&](ImplicitLocOpBuilder &b, Value t, Value j, Value expert,
          ValueRange carried) -> SmallVector<Value> {
        auto [row, next] = increment(b, carried[2], expert);
        Value k = tensor::DimOp::create(b, idx, 1);
        Value flat =
            arith::AddIOp::create(b, arith::MulIOp::create(b, t, k), j);
        return {tensor::InsertOp::create(b, row, carried[0], ValueRange{t, j}),
                tensor::InsertOp::create(b, toI32(b, flat), carried[1],
                                         toIndex(b, row)),
                next};
      });
  rewriter.replaceOp(op, {placed[0], placed[1], offsets});
  return success();
}

namespace {

struct LowerRoutingPass
    : mlir::moe::impl::LowerRoutingPassBase<LowerRoutingPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerScore, LowerSelect, LowerWeigh, LowerAssign>(
        &getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
