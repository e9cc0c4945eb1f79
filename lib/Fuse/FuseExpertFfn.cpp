//===- FuseExpertFfn.cpp - assign to combine become one moe.expert_ffn ----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The root is `combine`. Going up from it, each value must come from the op
// that the composition has there, and the whole must hang on one `assign`: its
// rows feed `combine`, its permutation `dispatch`, its offsets the three
// products.
//
//===----------------------------------------------------------------------===//

#include "moe/Fuse/Passes.h"

#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::moe {
#define GEN_PASS_DEF_FUSEEXPERTFFNPASS
#include "moe/Fuse/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-fuse-expert-ffn"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// The ops of one composition.
struct Match {
  AssignOp assign;
  DispatchOp dispatch;
  GroupedMatmulOp gate, up, down;
  GluOp glu;
  CombineOp combine;
};
} // namespace

/// The unpacked product over the groups of `assign` that defines `value`, if
/// `value` has no other user.
static GroupedMatmulOp getProduct(Value value, AssignOp assign) {
  auto product = value.getDefiningOp<GroupedMatmulOp>();
  if (!product || !value.hasOneUse() || product.getPacked() ||
      product.getOffsets() != assign.getOffsets())
    return {};
  return product;
}

/// Fills `m` from `m.combine` upwards; null, or why that failed.
static const char *match(Match &m) {
  m.assign = m.combine.getRow().getDefiningOp<AssignOp>();
  if (!m.assign || m.combine.getRow() != m.assign.getRow())
    return "the rows are not those of a moe.assign";
  m.down = getProduct(m.combine.getYs(), m.assign);
  if (!m.down)
    return "the combined rows are not a product of this moe.assign, used once";
  m.glu = m.down.getRows().getDefiningOp<GluOp>();
  if (!m.glu || !m.glu->hasOneUse())
    return "the rows of the down projection are not a moe.glu, used once";
  if (m.glu.getKind() != GluKind::SwiGLU || m.glu.getAlpha() ||
      m.glu.getOffset() || m.glu.getLimit())
    return "the activation is not a plain swiglu";
  m.gate = getProduct(m.glu.getGate(), m.assign);
  m.up = getProduct(m.glu.getUp(), m.assign);
  if (!m.gate || !m.up)
    return "gate and up are not products of this moe.assign, each used once";
  m.dispatch = m.gate.getRows().getDefiningOp<DispatchOp>();
  if (!m.dispatch || m.up.getRows() != m.dispatch.getXs() ||
      m.dispatch.getPerm() != m.assign.getPerm())
    return "gate and up do not share the rows of one moe.dispatch";
  auto idx = cast<RankedTensorType>(m.assign.getIdx().getType());
  if (static_cast<int64_t>(m.dispatch.getK()) != idx.getDimSize(1))
    return "the moe.dispatch is for another number of slots";
  Type element = getElementTypeOrSelf(m.gate.getWeights());
  if (element != getElementTypeOrSelf(m.up.getWeights()) ||
      element != getElementTypeOrSelf(m.down.getWeights()))
    return "the weights have several element types";
  return nullptr;
}

// combine(down(glu(gate(xs), up(xs)))), xs = dispatch(x) -> expert_ffn(x)
static LogicalResult fuse(CombineOp combine, IRRewriter &rewriter) {
  Match m;
  m.combine = combine;
  if (const char *reason = match(m)) {
    combine.emitRemark("not fused into an expert_ffn: ") << reason;
    return failure();
  }

  rewriter.setInsertionPoint(combine);
  Location loc =
      rewriter.getFusedLoc({m.assign.getLoc(), m.gate.getLoc(), m.up.getLoc(),
                            m.glu.getLoc(), m.down.getLoc(), combine.getLoc()});
  Value x = m.dispatch.getX();
  Value init = tensor::EmptyOp::create(rewriter, loc,
                                       tensor::getMixedSizes(rewriter, loc, x),
                                       rewriter.getF32Type());
  auto ffn = ExpertFfnOp::create(
      rewriter, loc, combine.getType(), m.glu.getKind(), x, m.assign.getIdx(),
      combine.getWeights(),
      ValueRange{m.gate.getWeights(), m.up.getWeights(), m.down.getWeights()},
      init, /*packed=*/PackFormatAttr(), /*inner=*/IntegerAttr());
  rewriter.replaceOp(combine, ffn.getResult());
  for (Operation *op : std::initializer_list<Operation *>{
           m.down, m.glu, m.up, m.gate, m.dispatch, m.assign})
    if (isOpTriviallyDead(op))
      rewriter.eraseOp(op);
  return success();
}

namespace {

struct FuseExpertFfnPass final
    : moe::impl::FuseExpertFfnPassBase<FuseExpertFfnPass> {
  void runOnOperation() override {
    SmallVector<CombineOp> roots;
    getOperation()->walk([&](CombineOp op) { roots.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (CombineOp root : roots)
      ++(succeeded(fuse(root, rewriter)) ? numFused : numDeclined);
  }
};

} // namespace
