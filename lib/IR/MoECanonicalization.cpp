//===- MoECanonicalization.cpp - Simpler forms of moe ops -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

/// extract_slice(load_parameter @p[%i])[%e, 0, ...] [1, all, ...]
///   -> load_parameter @p[%i, %e]
struct LoadSlice : OpRewritePattern<tensor::ExtractSliceOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(tensor::ExtractSliceOp slice,
                                PatternRewriter &rewriter) const override {
    auto load = slice.getSource().getDefiningOp<LoadParameterOp>();
    if (!load)
      return rewriter.notifyMatchFailure(slice, "not a slice of a parameter");
    RankedTensorType source = slice.getSourceType();
    auto isWhole = [&](int64_t dim) {
      return isZeroInteger(slice.getMixedOffsets()[dim]) &&
             isConstantIntValue(slice.getMixedSizes()[dim],
                                source.getDimSize(dim)) &&
             isOneInteger(slice.getMixedStrides()[dim]);
    };
    if (!isOneInteger(slice.getMixedSizes()[0]) ||
        !llvm::all_of(llvm::seq<int64_t>(1, source.getRank()), isWhole) ||
        slice.getType().getShape() != source.getShape().drop_front())
      return rewriter.notifyMatchFailure(slice, "not one element of a stack");
    SmallVector<Value> indices(load.getIndices());
    indices.push_back(getValueOrCreateConstantIndexOp(
        rewriter, slice.getLoc(), slice.getMixedOffsets()[0]));
    rewriter.replaceOpWithNewOp<LoadParameterOp>(
        slice, slice.getType(), load.getParameterAttr(), indices);
    return success();
  }
};

/// grouped_matmul(x, w[1,out,in]) offsets(o) -> grouped_matmul(x, w[out,in])
struct DropOffsetsOfOneExpert : OpRewritePattern<GroupedMatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(GroupedMatmulOp op,
                                PatternRewriter &rewriter) const override {
    auto weights = dyn_cast<RankedTensorType>(op.getWeights().getType());
    if (!op.getOffsets() || !weights || weights.getDimSize(0) != 1)
      return rewriter.notifyMatchFailure(op, "not one expert on tensors");
    SmallVector<OpFoldResult> offsets(weights.getRank(),
                                      rewriter.getIndexAttr(0));
    SmallVector<OpFoldResult> strides(weights.getRank(),
                                      rewriter.getIndexAttr(1));
    auto matrix = RankedTensorType::get(weights.getShape().drop_front(),
                                        weights.getElementType());
    Value slice = tensor::ExtractSliceOp::create(
        rewriter, op.getLoc(), matrix, op.getWeights(), offsets,
        tensor::getMixedSizes(rewriter, op.getLoc(), op.getWeights()), strides);
    rewriter.modifyOpInPlace(op, [&] {
      op.getWeightsMutable().assign(slice);
      op.getOffsetsMutable().clear();
    });
    return success();
  }
};

/// select(key) groups <n keep n> -> select(key)
struct DropGroupsThatAreKept : OpRewritePattern<SelectOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SelectOp op,
                                PatternRewriter &rewriter) const override {
    if (!op.getGroups() ||
        op.getGroups()->getKeep() < op.getGroups()->getCount())
      return rewriter.notifyMatchFailure(op, "not all groups are kept");
    rewriter.modifyOpInPlace(op, [&] { op.removeGroupsAttr(); });
    return success();
  }
};

/// glu(g, u) limit inf -> glu(g, u)
struct DropInfiniteLimit : OpRewritePattern<GluOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(GluOp op,
                                PatternRewriter &rewriter) const override {
    if (!op.getLimit() || !op.getLimit()->isInfinity())
      return rewriter.notifyMatchFailure(op, "no infinite limit");
    rewriter.modifyOpInPlace(op, [&] {
      op.removeLimitAttr();
      op.setPost(false);
    });
    return success();
  }
};

/// weigh(s, i) norm n plus 0 scale 1 -> weigh(s, i) norm n
struct DropNeutralClauses : OpRewritePattern<WeighOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(WeighOp op,
                                PatternRewriter &rewriter) const override {
    bool addsNothing = op.getPlus() && op.getPlus()->isZero();
    bool scalesByOne = op.getScale() && op.getScale()->isExactlyValue(1);
    if (!addsNothing && !scalesByOne)
      return rewriter.notifyMatchFailure(op, "no neutral clause");
    rewriter.modifyOpInPlace(op, [&] {
      if (addsNothing)
        op.removePlusAttr();
      if (scalesByOne)
        op.removeScaleAttr();
    });
    return success();
  }
};

} // namespace

void WeighOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                          MLIRContext *context) {
  patterns.add<DropNeutralClauses>(context);
}

void SelectOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                           MLIRContext *context) {
  patterns.add<DropGroupsThatAreKept>(context);
}

void GluOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                        MLIRContext *context) {
  patterns.add<DropInfiniteLimit>(context);
}

OpFoldResult LimitOp::fold(FoldAdaptor) {
  int64_t tokens = cast<ShapedType>(getIdx().getType()).getDimSize(0);
  int64_t slots = cast<ShapedType>(getIdx().getType()).getDimSize(1);
  if (ShapedType::isStatic(tokens) && ShapedType::isStatic(slots) &&
      getCapacity().getFixed() >= tokens * slots)
    return getIdx();
  return {};
}

OpFoldResult ExpertsOp::fold(FoldAdaptor) {
  for (Region &body : getBodies()) {
    auto yield = cast<YieldOp>(body.front().getTerminator());
    if (yield.getRows() != body.getArgument(0))
      return {};
  }
  return getXs();
}

OpFoldResult BiasUpdateOp::fold(FoldAdaptor) {
  return getRate().isZero() ? OpFoldResult(getBias()) : OpFoldResult();
}

void LoadParameterOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                                  MLIRContext *context) {
  patterns.add<LoadSlice>(context);
}

void GroupedMatmulOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                                  MLIRContext *context) {
  patterns.add<DropOffsetsOfOneExpert>(context);
}
