//===- ExpertOps.cpp - Ops on the rows of experts -------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers and inferred types, as in MoEOps.cpp.
//
//===----------------------------------------------------------------------===//

#include "Shapes.h"

#include "moe/IR/MoE.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/IR/TypeUtilities.h"

#include <numeric>

using namespace mlir;
using namespace mlir::moe;

/// `rows` rows as wide as those of `like`.
static RankedTensorType rowsType(MLIRContext *context, int64_t rows,
                                 Value like) {
  return RankedTensorType::get({rows, extent(like, 1)},
                               Float32Type::get(context));
}

//===----------------------------------------------------------------------===//
// dispatch, combine
//===----------------------------------------------------------------------===//

LogicalResult DispatchOp::inferReturnTypes(MLIRContext *context,
                                           std::optional<Location>,
                                           DispatchOp::Adaptor adaptor,
                                           SmallVectorImpl<Type> &types) {
  types.push_back(
      rowsType(context, extent(adaptor.getPerm(), 0), adaptor.getX()));
  return success();
}

LogicalResult DispatchOp::verify() {
  if (static_cast<int64_t>(getK()) < 1) // dispatch_c1
    return emitOpError("expected at least 1 expert per token, got ")
           << static_cast<int64_t>(getK());
  return success();
}

LogicalResult
DispatchOp::reifyResultShapes(OpBuilder &b,
                              ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back({mixedExtent(b, getLoc(), getPerm(), 0),
                    mixedExtent(b, getLoc(), getX(), 1)});
  return success();
}

LogicalResult CombineOp::inferReturnTypes(MLIRContext *context,
                                          std::optional<Location>,
                                          CombineOp::Adaptor adaptor,
                                          SmallVectorImpl<Type> &types) {
  types.push_back(
      rowsType(context, extent(adaptor.getRow(), 0), adaptor.getYs()));
  return success();
}

LogicalResult CombineOp::verify() {
  auto row = cast<ShapedType>(getRow().getType());
  auto weights = cast<ShapedType>(getWeights().getType());
  if (failed(verifyCompatibleShape(row, weights))) // combine_c1
    return emitOpError("expected weights of shape ")
           << str(row.getShape()) << ", got " << str(weights.getShape());
  return success();
}

LogicalResult
CombineOp::reifyResultShapes(OpBuilder &b,
                             ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back({mixedExtent(b, getLoc(), getRow(), 0),
                    mixedExtent(b, getLoc(), getYs(), 1)});
  return success();
}

//===----------------------------------------------------------------------===//
// group_add, glu
//===----------------------------------------------------------------------===//

LogicalResult GroupAddOp::verify() {
  auto bias = cast<ShapedType>(getBias().getType());
  int64_t columns = extent(getYs(), 1);
  if (!bias.hasStaticShape() || bias.getDimSize(1) != columns ||
      extent(getOffsets(), 0) != bias.getDimSize(0) + 1) // group_add_c1
    return emitOpError("expected a static bias [E,")
           << str(columns) << "] and E+1 offsets, got " << str(bias.getShape())
           << " and " << str(extent(getOffsets(), 0));
  return success();
}

LogicalResult
GroupAddOp::reifyResultShapes(OpBuilder &b,
                              ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(mixedExtents(b, getLoc(), getYs()));
  return success();
}

void GluOp::build(OpBuilder &b, OperationState &state,
                  const GluClauses &clauses, Value gate, Value up) {
  build(b, state, gate.getType(), clauses.kind, gate, up, clauses.alpha,
        clauses.beta, clauses.offset, clauses.limit, clauses.post);
}

LogicalResult GluClauses::verify(Operation *op) const {
  bool takesAlpha =
      llvm::is_contained({GluKind::SwiGLU, GluKind::SiLU, GluKind::SiTU}, kind);
  bool isSiTU = kind == GluKind::SiTU;
  if ((alpha && !takesAlpha) || (beta && !isSiTU) ||
      (isSiTU && !(alpha && beta))) // glu_c1
    return op->emitOpError("expected alpha with swiglu, silu and situ, and "
                           "beta with situ, which needs both; got ")
           << stringifyGluKind(kind);
  for (FloatAttr divisor : {alpha, beta})
    if (divisor && !divisor.getValue().isFiniteNonZero()) // glu_c1
      return op->emitOpError("expected alpha and beta other than 0, got ")
             << divisor.getValueAsDouble();
  if (limit && !(limit.getValueAsDouble() > 0)) // glu_c2
    return op->emitOpError("expected a limit greater than 0, got ")
           << limit.getValueAsDouble();
  if (post && !limit) // glu_c2
    return op->emitOpError("expected a limit with post");
  if (offset && !isGated()) // glu_c3
    return op->emitOpError("expected no offset with ")
           << stringifyGluKind(kind);
  return success();
}

LogicalResult GluOp::verify() {
  GluClauses clauses = getClauses();
  if (clauses.isGated() != static_cast<bool>(getUp())) // glu_c3
    return emitOpError("expected ") << (getUp() ? "one operand" : "gate and up")
                                    << " for " << stringifyGluKind(getKind());
  return clauses.verify(*this);
}

LogicalResult GluOp::reifyResultShapes(OpBuilder &b,
                                       ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(mixedExtents(b, getLoc(), getGate()));
  return success();
}

//===----------------------------------------------------------------------===//
// experts
//===----------------------------------------------------------------------===//

LogicalResult ExpertsOp::verify() {
  ArrayRef<int64_t> segments = getSegments();
  if (segments.empty() || segments.size() != getBodies().size() ||
      llvm::any_of(segments, [](int64_t count) { return count < 1; }))
    return emitOpError("expected one body for each segment of at least 1 "
                       "expert, got ") // experts_c1
           << getBodies().size() << " for " << str(segments);
  int64_t experts = std::accumulate(segments.begin(), segments.end(),
                                    static_cast<int64_t>(0));
  if (extent(getOffsets(), 0) != experts + 1) // experts_c1
    return emitOpError("expected ")
           << experts + 1 << " offsets, got " << str(extent(getOffsets(), 0));
  return success();
}

LogicalResult ExpertsOp::verifyRegions() {
  auto rowsOf = [](Type type) {
    auto tensor = cast<RankedTensorType>(type);
    return RankedTensorType::get({ShapedType::kDynamic, tensor.getDimSize(1)},
                                 tensor.getElementType());
  };
  Type in = rowsOf(getXs().getType()), out = rowsOf(getYs().getType());
  for (auto [number, body] : llvm::enumerate(getBodies())) {
    Type index = IndexType::get(getContext());
    if (body.getArgumentTypes() != TypeRange{in, index}) // experts_c2
      return emitOpError("expected body ")
             << number << " to take " << in << " and index, got "
             << body.getArgumentTypes();
    auto yield = cast<YieldOp>(body.front().getTerminator());
    if (yield.getRows().getType() != out) // experts_c2
      return emitOpError("expected body ")
             << number << " to yield " << out << ", got "
             << yield.getRows().getType();
  }
  return success();
}

LogicalResult
ExpertsOp::reifyResultShapes(OpBuilder &b,
                             ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back({mixedExtent(b, getLoc(), getXs(), 0),
                    b.getIndexAttr(extent(getYs(), 1))});
  return success();
}

//===----------------------------------------------------------------------===//
// soft_dispatch, soft_combine
//===----------------------------------------------------------------------===//

LogicalResult SoftDispatchOp::inferReturnTypes(MLIRContext *context,
                                               std::optional<Location>,
                                               SoftDispatchOp::Adaptor adaptor,
                                               SmallVectorImpl<Type> &types) {
  int64_t count = extent(adaptor.getWeights(), 1);
  if (Value cu = adaptor.getCu()) {
    int64_t ends = extent(cu, 0);
    count =
        ShapedType::isDynamic(ends) ? ShapedType::kDynamic : count * (ends - 1);
  }
  types.push_back(rowsType(context, count, adaptor.getX()));
  return success();
}

LogicalResult SoftDispatchOp::verify() {
  return success(verifyRows(*this, "weights", getWeights(),
                            extent(getX(), 0))); // soft_dispatch_c1
}

LogicalResult
SoftDispatchOp::reifyResultShapes(OpBuilder &b,
                                  ReifiedRankedShapedTypeDims &shapes) {
  OpFoldResult count = mixedExtent(b, getLoc(), getWeights(), 1);
  if (getCu()) {
    AffineExpr s0, s1;
    bindSymbols(getContext(), s0, s1);
    count = affine::makeComposedFoldedAffineApply(
        b, getLoc(), s0 * (s1 - 1),
        {count, mixedExtent(b, getLoc(), getCu(), 0)});
  }
  shapes.push_back({count, mixedExtent(b, getLoc(), getX(), 1)});
  return success();
}

LogicalResult SoftCombineOp::inferReturnTypes(MLIRContext *context,
                                              std::optional<Location>,
                                              SoftCombineOp::Adaptor adaptor,
                                              SmallVectorImpl<Type> &types) {
  types.push_back(
      rowsType(context, extent(adaptor.getWeights(), 0), adaptor.getYs()));
  return success();
}

LogicalResult SoftCombineOp::verify() {
  int64_t count = extent(getWeights(), 1);
  if (ShapedType::isDynamic(count)) // soft_combine_c1
    return emitOpError("expected a static number of slots, got ")
           << getWeights().getType();
  if (!getCu() && !compatible(extent(getYs(), 0), count)) // soft_combine_c1
    return emitOpError("expected ")
           << count << " rows, got " << str(extent(getYs(), 0));
  return success();
}

LogicalResult
SoftCombineOp::reifyResultShapes(OpBuilder &b,
                                 ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back({mixedExtent(b, getLoc(), getWeights(), 0),
                    mixedExtent(b, getLoc(), getYs(), 1)});
  return success();
}
