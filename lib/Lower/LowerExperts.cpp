//===- LowerExperts.cpp - dispatch, grouped_matmul, glu, combine ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each op alone, on tensors, one scalar after the other. A grouped matmul is a
// loop over the experts around an ordinary matmul on the slice of rows that
// `offsets` gives to each, so that it updates its destination in place.
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"
#include "moe/Lower/Passes.h"
#include "moe/Support/Scalars.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

#define DEBUG_TYPE "moe-lower-experts"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWEREXPERTSPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

using Body = function_ref<Value(ImplicitLocOpBuilder &, ValueRange)>;

/// A linalg.generic with one output over dimensions d0, d1, ...; `maps` lists
/// the dimensions of each operand, and dimensions that the last one lacks are
/// reductions.
static Value generic(ImplicitLocOpBuilder &b, unsigned dims, ValueRange ins,
                     Value out, ArrayRef<SmallVector<unsigned>> maps,
                     Body body) {
  SmallVector<AffineMap> indexing;
  for (ArrayRef<unsigned> map : maps)
    indexing.push_back(
        AffineMap::getMultiDimMapWithTargets(dims, map, b.getContext()));
  SmallVector<utils::IteratorType> iterators(dims,
                                             utils::IteratorType::reduction);
  for (unsigned d : maps.back())
    iterators[d] = utils::IteratorType::parallel;
  return linalg::GenericOp::create(
             b, out.getType(), ins, out, indexing, iterators,
             [&](OpBuilder &nested, Location loc, ValueRange args) {
               ImplicitLocOpBuilder inner(loc, nested);
               linalg::YieldOp::create(inner, body(inner, args));
             })
      .getResult(0);
}

/// rows [n,K] times matrix [N,K] transposed into out [n,N], K ascending.
static Value matmul(ImplicitLocOpBuilder &b, Value rows, Value matrix,
                    Value out) {
  Value zero = linalg::FillOp::create(b, constantF32(b, 0), out).getResult(0);
  return generic(b, 3, {rows, matrix}, zero, {{0, 2}, {1, 2}, {0, 1}},
                 [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                   Value product =
                       arith::MulFOp::create(b, v[0], toF32(b, v[1]));
                   return arith::AddFOp::create(b, v[2], product);
                 });
}

/// Rows `first..first+count` of a rank-2 tensor as a slice's parameters.
static SmallVector<SmallVector<OpFoldResult>>
rowSlice(ImplicitLocOpBuilder &b, Value tensor, Value first, Value count) {
  OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
  OpFoldResult columns = tensor::getMixedSize(b, b.getLoc(), tensor, 1);
  return {{first, zero}, {count, columns}, {one, one}};
}

namespace {

/// dispatch -> gather of rows
struct LowerDispatch : OpRewritePattern<DispatchOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(DispatchOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    ReifiedRankedShapedTypeDims sizes;
    if (failed(op.reifyResultShapes(b, sizes)))
      return failure();
    Value out = tensor::EmptyOp::create(b, sizes[0], b.getF32Type());
    rewriter.replaceOp(
        op, generic(b, 2, op.getPerm(), out, {{0}, {0, 1}},
                    [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                      Value flat = toIndex(b, arith::MaxSIOp::create(
                                                  b, v[0], constantI32(b, 0)));
                      Value token = arith::DivUIOp::create(
                          b, flat, constantIndex(b, op.getK()));
                      Value column = linalg::IndexOp::create(b, 1);
                      return tensor::ExtractOp::create(
                          b, op.getX(), ValueRange{token, column});
                    }));
    return success();
  }
};

/// grouped_matmul -> matmul per expert
struct LowerGroupedMatmul : OpRewritePattern<GroupedMatmulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(GroupedMatmulOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getPacked())
      return rewriter.notifyMatchFailure(
          op, "packed weights are the target's kernels' business");
    if (!op.getResult())
      return rewriter.notifyMatchFailure(op, "expected tensors");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value rows = op.getRows(), weights = op.getWeights();
    if (!op.getOffsets()) {
      rewriter.replaceOp(op, matmul(b, rows, weights, op.getInit()));
      return success();
    }
    auto type = cast<RankedTensorType>(weights.getType());
    int64_t experts = type.getDimSize(0);
    OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
    auto matrixType = RankedTensorType::get(type.getShape().drop_front(),
                                            type.getElementType());
    auto offset = [&](ImplicitLocOpBuilder &b, Value e) {
      return toIndex(b, tensor::ExtractOp::create(b, op.getOffsets(), e));
    };
    auto loop = forLoop(
        b, constantIndex(b, 0), constantIndex(b, experts), op.getInit(),
        [&](ImplicitLocOpBuilder &b, Value e,
            ValueRange out) -> SmallVector<Value> {
          Value first = offset(b, e);
          Value next =
              offset(b, arith::AddIOp::create(b, e, constantIndex(b, 1)));
          Value count = arith::SubIOp::create(b, next, first);
          auto in = rowSlice(b, rows, first, count);
          auto to = rowSlice(b, out[0], first, count);
          Value x =
              tensor::ExtractSliceOp::create(b, rows, in[0], in[1], in[2]);
          Value y =
              tensor::ExtractSliceOp::create(b, out[0], to[0], to[1], to[2]);
          SmallVector<OpFoldResult> at = {e, zero, zero};
          SmallVector<OpFoldResult> extents = {
              one, b.getIndexAttr(type.getDimSize(1)),
              b.getIndexAttr(type.getDimSize(2))};
          SmallVector<OpFoldResult> strides(3, one);
          Value matrix = tensor::ExtractSliceOp::create(b, matrixType, weights,
                                                        at, extents, strides);
          Value product = matmul(b, x, matrix, y);
          return {tensor::InsertSliceOp::create(b, product, out[0], to[0],
                                                to[1], to[2])};
        });
    rewriter.replaceOp(op, loop.getResult(0));
    return success();
  }
};

/// glu swiglu -> g / (1 + exp(-g)) * u
struct LowerGlu : OpRewritePattern<GluOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(GluOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value out = tensor::EmptyOp::create(
        b, tensor::getMixedSizes(b, op.getLoc(), op.getGate()), b.getF32Type());
    rewriter.replaceOp(
        op,
        generic(b, 2, {op.getGate(), op.getUp()}, out, {{0, 1}, {0, 1}, {0, 1}},
                [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                  Value exp =
                      math::ExpOp::create(b, arith::NegFOp::create(b, v[0]));
                  Value silu = arith::DivFOp::create(
                      b, v[0],
                      arith::AddFOp::create(b, constantF32(b, 1), exp));
                  return arith::MulFOp::create(b, silu, v[1]);
                }));
    return success();
  }
};

/// combine -> sum over the slots of each token, in order
struct LowerCombine : OpRewritePattern<CombineOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(CombineOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    ReifiedRankedShapedTypeDims sizes;
    if (failed(op.reifyResultShapes(b, sizes)))
      return failure();
    Value out = tensor::EmptyOp::create(b, sizes[0], b.getF32Type());
    Value zero = linalg::FillOp::create(b, constantF32(b, 0), out).getResult(0);
    // Dimensions: token, slot, column.
    rewriter.replaceOp(
        op, generic(b, 3, {op.getRow(), op.getWeights()}, zero,
                    {{0, 1}, {0, 1}, {0, 2}},
                    [&](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                      Value zero = constantI32(b, 0);
                      Value row =
                          toIndex(b, arith::MaxSIOp::create(b, v[0], zero));
                      Value column = linalg::IndexOp::create(b, 2);
                      Value y = tensor::ExtractOp::create(
                          b, op.getYs(), ValueRange{row, column});
                      Value sum = arith::AddFOp::create(
                          b, v[2], arith::MulFOp::create(b, v[1], y));
                      Value routed = arith::CmpIOp::create(
                          b, arith::CmpIPredicate::sge, v[0], zero);
                      return arith::SelectOp::create(b, routed, sum, v[2]);
                    }));
    return success();
  }
};

struct LowerExpertsPass
    : mlir::moe::impl::LowerExpertsPassBase<LowerExpertsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerDispatch, LowerGroupedMatmul, LowerGlu, LowerCombine>(
        &getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
