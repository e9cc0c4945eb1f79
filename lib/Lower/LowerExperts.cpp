//===- LowerExperts.cpp - dispatch, grouped_matmul, glu, combine ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each op alone, on tensors, one scalar after the other. A grouped matmul is a
// loop over the experts around an ordinary matmul on the slice of rows that
// `offsets` gives to each, so that it updates its destination in place.
//
//===----------------------------------------------------------------------===//

#include "Linalg.h"

#include "moe/IR/Activations.h"
#include "moe/Lower/Passes.h"

#include "mlir/Transforms/WalkPatternRewriteDriver.h"

#define DEBUG_TYPE "moe-lower-experts"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWEREXPERTSPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

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

/// Runs `body(b, expert, first, count, out)` for each expert; its rows are
/// `first..first+count`. What it returns is the next `out`.
static Value forEachExpert(
    ImplicitLocOpBuilder &b, Value offsets, int64_t experts, Value init,
    function_ref<Value(ImplicitLocOpBuilder &, Value, Value, Value, Value)>
        body,
    int64_t firstExpert = 0) {
  return forLoop(
             b, constantIndex(b, 0), constantIndex(b, experts), init,
             [&](ImplicitLocOpBuilder &b, Value e,
                 ValueRange out) -> SmallVector<Value> {
               Value at = e;
               if (firstExpert != 0)
                 at =
                     arith::AddIOp::create(b, e, constantIndex(b, firstExpert));
               Value next = arith::AddIOp::create(b, at, constantIndex(b, 1));
               Value first = indexAt(b, offsets, at);
               Value count =
                   arith::SubIOp::create(b, indexAt(b, offsets, next), first);
               return {body(b, e, first, count, out[0])};
             })
      .getResult(0);
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
    Value result = forEachExpert(
        b, op.getOffsets(), experts, op.getInit(),
        [&](ImplicitLocOpBuilder &b, Value expert, Value first, Value count,
            Value out) -> Value {
          auto in = rowSlice(b, rows, first, count);
          auto to = rowSlice(b, out, first, count);
          Value x =
              tensor::ExtractSliceOp::create(b, rows, in[0], in[1], in[2]);
          Value y = tensor::ExtractSliceOp::create(b, out, to[0], to[1], to[2]);
          SmallVector<OpFoldResult> at = {expert, zero, zero};
          SmallVector<OpFoldResult> extents = {
              one, b.getIndexAttr(type.getDimSize(1)),
              b.getIndexAttr(type.getDimSize(2))};
          SmallVector<OpFoldResult> strides(3, one);
          Value matrix = tensor::ExtractSliceOp::create(b, matrixType, weights,
                                                        at, extents, strides);
          Value product = matmul(b, x, matrix, y);
          return tensor::InsertSliceOp::create(b, product, out, to[0], to[1],
                                               to[2]);
        });
    rewriter.replaceOp(op, result);
    return success();
  }
};

/// group_add -> addition to the rows of each expert
struct LowerGroupAdd : OpRewritePattern<GroupAddOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(GroupAddOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value bias = op.getBias();
    auto type = cast<RankedTensorType>(bias.getType());
    auto vector =
        RankedTensorType::get(type.getDimSize(1), type.getElementType());
    OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
    rewriter.replaceOp(
        op, forEachExpert(
                b, op.getOffsets(), type.getDimSize(0), op.getYs(),
                [&](ImplicitLocOpBuilder &b, Value expert, Value first,
                    Value count, Value out) -> Value {
                  auto at = rowSlice(b, out, first, count);
                  Value rows = tensor::ExtractSliceOp::create(b, out, at[0],
                                                              at[1], at[2]);
                  Value own = tensor::ExtractSliceOp::create(
                      b, vector, bias, {expert, zero},
                      {one, b.getIndexAttr(type.getDimSize(1))}, {one, one});
                  Value sum = generic(
                      b, 2, own, rows, {{1}, {0, 1}},
                      [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
                        return arith::AddFOp::create(b, v[1], toF32(b, v[0]));
                      });
                  return tensor::InsertSliceOp::create(b, sum, out, at[0],
                                                       at[1], at[2]);
                }));
    return success();
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// glu, combine, experts
//===----------------------------------------------------------------------===//

namespace {

/// glu -> the activation of each element
struct LowerGlu : OpRewritePattern<GluOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(GluOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value out = empty(b, tensor::getMixedSizes(b, op.getLoc(), op.getGate()),
                      b.getF32Type());
    SmallVector<SmallVector<unsigned>> maps(op->getNumOperands() + 1, {0, 1});
    rewriter.replaceOp(op,
                       generic(b, 2, op->getOperands(), out, maps,
                               [&](ImplicitLocOpBuilder &b, ValueRange v) {
                                 return emitGlu(b, op.getClauses(), v[0],
                                                op.getUp() ? v[1] : Value());
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

/// experts -> the body of each segment in a loop over its experts
struct LowerExpertBodies : OpRewritePattern<ExpertsOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ExpertsOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    ReifiedRankedShapedTypeDims sizes;
    if (failed(op.reifyResultShapes(b, sizes)))
      return failure();
    Value out = empty(b, sizes[0], b.getF32Type());
    Value total = tensor::DimOp::create(b, op.getXs(), 0);
    int64_t firstExpert = 0;
    for (auto [count, region] :
         llvm::zip_equal(op.getSegments(), op.getBodies())) {
      Block &body = region.front();
      out = forEachExpert(
          b, op.getOffsets(), count, out,
          [&](ImplicitLocOpBuilder &b, Value expert, Value first, Value count,
              Value out) -> Value {
            // The minimum says how much memory the body may need.
            count = arith::MinSIOp::create(b, count, total);
            auto in = rowSlice(b, op.getXs(), first, count);
            IRMapping mapping;
            mapping.map(body.getArgument(0),
                        tensor::ExtractSliceOp::create(b, op.getXs(), in[0],
                                                       in[1], in[2]));
            mapping.map(body.getArgument(1), expert);
            for (Operation &nested : body.without_terminator())
              b.clone(nested, mapping);
            auto yield = cast<YieldOp>(body.getTerminator());
            auto to = rowSlice(b, out, first, count);
            return tensor::InsertSliceOp::create(
                b, mapping.lookupOrDefault(yield.getRows()), out, to[0], to[1],
                to[2]);
          },
          firstExpert);
      firstExpert += count;
    }
    rewriter.replaceOp(op, out);
    return success();
  }
};

} // namespace

/// Row `s * groups + group` for every s, as a slice's parameters.
static SmallVector<SmallVector<OpFoldResult>>
slotSlice(ImplicitLocOpBuilder &b, Value slots, Value group, OpFoldResult count,
          Value cu) {
  OpFoldResult stride = b.getIndexAttr(1);
  if (cu) {
    Value ends = tensor::DimOp::create(b, cu, 0);
    stride = arith::SubIOp::create(b, ends, constantIndex(b, 1)).getResult();
  }
  OpFoldResult columns = tensor::getMixedSize(b, b.getLoc(), slots, 1);
  return {{group, b.getIndexAttr(0)},
          {count, columns},
          {stride, b.getIndexAttr(1)}};
}

/// The sums of what `weights` [T,S] say of the rows of `in`, in each group:
/// from tokens into slots, or back. Products are added in the order of the
/// rows.
static Value mixInGroups(ImplicitLocOpBuilder &b, Value in, Value weights,
                         Value cu, ArrayRef<OpFoldResult> sizes,
                         bool intoSlots) {
  Value zeros = filled(b, sizes, constantF32(b, 0));
  OpFoldResult slots = tensor::getMixedSize(b, b.getLoc(), weights, 1);
  // Dimensions: row of the result, row of `in`, column.
  SmallVector<unsigned> weightMap = {0, 1};
  if (intoSlots)
    std::swap(weightMap[0], weightMap[1]);
  return forEachGroup(
      b, cu, tensor::DimOp::create(b, weights, 0), zeros,
      [&](ImplicitLocOpBuilder &b, Value group, Value first, Value end,
          ValueRange carried) -> SmallVector<Value> {
        Value count = arith::SubIOp::create(b, end, first);
        auto tokensOf = [&](Value x) { return rowSlice(b, x, first, count); };
        auto slotsOf = [&](Value x) {
          return slotSlice(b, x, group, slots, cu);
        };
        auto cut = [&](Value x, ArrayRef<SmallVector<OpFoldResult>> at) {
          return tensor::ExtractSliceOp::create(b, x, at[0], at[1], at[2]);
        };
        Value own = cut(weights, tokensOf(weights));
        Value from = cut(in, intoSlots ? tokensOf(in) : slotsOf(in));
        auto to = intoSlots ? slotsOf(carried[0]) : tokensOf(carried[0]);
        Value mixed = generic(
            b, 3, {own, from}, cut(carried[0], to), {weightMap, {1, 2}, {0, 2}},
            [](ImplicitLocOpBuilder &b, ValueRange v) -> Value {
              Value product = arith::MulFOp::create(b, v[0], v[1]);
              return arith::AddFOp::create(b, v[2], product);
            });
        return {tensor::InsertSliceOp::create(b, mixed, carried[0], to[0],
                                              to[1], to[2])};
      })[0];
}

namespace {

/// soft_dispatch, soft_combine -> weights times rows, in each group
template <typename OpTy>
struct LowerSoftMix : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    ReifiedRankedShapedTypeDims sizes;
    if (failed(op.reifyResultShapes(b, sizes)))
      return failure();
    rewriter.replaceOp(op, mixInGroups(b, op->getOperand(0), op.getWeights(),
                                       op.getCu(), sizes[0],
                                       std::is_same_v<OpTy, SoftDispatchOp>));
    return success();
  }
};

struct LowerExpertsPass
    : mlir::moe::impl::LowerExpertsPassBase<LowerExpertsPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerDispatch, LowerGroupedMatmul, LowerGroupAdd, LowerGlu,
                 LowerCombine, LowerSoftMix<SoftDispatchOp>,
                 LowerSoftMix<SoftCombineOp>>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
    // After what stands in their bodies.
    RewritePatternSet bodies(&getContext());
    bodies.add<LowerExpertBodies>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(bodies));
  }
};

} // namespace
