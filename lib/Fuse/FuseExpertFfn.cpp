//===- FuseExpertFfn.cpp - assign to combine become one moe.expert_ffn ----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The root is `combine`. Going up from it, each value must come from the op
// that the composition has there, and the whole must hang on one `assign`: its
// rows feed `combine`, its permutation `dispatch`, its offsets the products and
// their biases.
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
/// A product over the groups of an `assign`, with the bias that is added to it.
struct Product {
  GroupedMatmulOp matmul;
  GroupAddOp bias;

  explicit operator bool() const { return matmul != nullptr; }
};

/// The ops of one composition.
struct Match {
  AssignOp assign;
  DispatchOp dispatch;
  /// Gate, up, down; an activation without a gate has no `up`.
  Product gate, up, down;
  GluOp glu;
  CombineOp combine;

  SmallVector<Product> products() const {
    return up ? SmallVector<Product>{gate, up, down}
              : SmallVector<Product>{gate, down};
  }
};
} // namespace

/// The unpacked product over the groups of `assign` that defines `value`, if
/// neither it nor `value` has another user.
static Product getProduct(Value value, AssignOp assign) {
  Product product;
  if (!value.hasOneUse())
    return {};
  product.bias = value.getDefiningOp<GroupAddOp>();
  if (product.bias) {
    value = product.bias.getYs();
    if (!value.hasOneUse() || product.bias.getOffsets() != assign.getOffsets())
      return {};
  }
  product.matmul = value.getDefiningOp<GroupedMatmulOp>();
  if (!product.matmul || product.matmul.getPacked() ||
      product.matmul.getOffsets() != assign.getOffsets())
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
  m.glu = m.down.matmul.getRows().getDefiningOp<GluOp>();
  if (!m.glu || !m.glu->hasOneUse())
    return "the rows of the down projection are not a moe.glu, used once";
  m.gate = getProduct(m.glu.getGate(), m.assign);
  if (Value up = m.glu.getUp())
    m.up = getProduct(up, m.assign);
  if (!m.gate || (m.glu.getUp() && !m.up))
    return "what is activated are not products of this moe.assign, each used "
           "once";
  m.dispatch = m.gate.matmul.getRows().getDefiningOp<DispatchOp>();
  if (!m.dispatch || m.dispatch.getPerm() != m.assign.getPerm() ||
      (m.up && m.up.matmul.getRows() != m.dispatch.getXs()))
    return "the products do not share the rows of one moe.dispatch";
  auto idx = cast<RankedTensorType>(m.assign.getIdx().getType());
  if (static_cast<int64_t>(m.dispatch.getK()) != idx.getDimSize(1))
    return "the moe.dispatch is for another number of slots";
  auto typeOf = [](Product product) {
    return getElementTypeOrSelf(product.matmul.getWeights());
  };
  auto hasBias = [](Product product) { return product.bias != nullptr; };
  if (!llvm::all_equal(llvm::map_range(m.products(), typeOf)))
    return "the weights have several element types";
  if (!llvm::all_equal(llvm::map_range(m.products(), hasBias)))
    return "some products have a bias and some have none";
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
  SmallVector<Location> locs = {m.assign.getLoc(), m.glu.getLoc(),
                                combine.getLoc()};
  SmallVector<Value> weights, biases;
  for (Product product : m.products()) {
    locs.push_back(product.matmul.getLoc());
    weights.push_back(product.matmul.getWeights());
    if (product.bias)
      biases.push_back(product.bias.getBias());
  }
  Location loc = rewriter.getFusedLoc(locs);
  Value x = m.dispatch.getX();
  Value init = tensor::EmptyOp::create(rewriter, loc,
                                       tensor::getMixedSizes(rewriter, loc, x),
                                       rewriter.getF32Type());
  GluClauses clauses = m.glu.getClauses();
  auto ffn = ExpertFfnOp::create(
      rewriter, loc, combine.getType(), clauses.kind, clauses.alpha,
      clauses.beta, clauses.offset, clauses.limit, clauses.post, x,
      m.assign.getIdx(), combine.getWeights(), weights, biases, init,
      /*packed=*/PackFormatAttr(), /*inner=*/IntegerAttr());
  rewriter.replaceOp(combine, ffn.getResult());
  // Users before what they use.
  for (Operation *op : std::initializer_list<Operation *>{
           m.down.bias, m.down.matmul, m.glu, m.up.bias, m.up.matmul,
           m.gate.bias, m.gate.matmul, m.dispatch, m.assign})
    if (op && isOpTriviallyDead(op))
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
