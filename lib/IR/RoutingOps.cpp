//===- RoutingOps.cpp - Ops that say which token goes where ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers and inferred types, as in MoEOps.cpp.
//
//===----------------------------------------------------------------------===//

#include "Shapes.h"

#include "moe/IR/MoE.h"

#include <cmath>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// score, select, weigh
//===----------------------------------------------------------------------===//

void ScoreOp::build(OpBuilder &b, OperationState &state, ScoreFn fn,
                    Value logits) {
  build(b, state, fn, logits, /*cu=*/Value(), /*over_tokens=*/false);
}

LogicalResult ScoreOp::inferReturnTypes(MLIRContext *context,
                                        std::optional<Location>,
                                        ScoreOp::Adaptor adaptor,
                                        SmallVectorImpl<Type> &types) {
  types.push_back(adaptor.getLogits().getType());
  return success();
}

LogicalResult ScoreOp::verify() {
  if (getOverTokens() && getFn() != ScoreFn::Softmax) // score_c1
    return emitOpError("expected softmax over tokens, got ")
           << stringifyScoreFn(getFn());
  if (getCu() && !getOverTokens()) // score_c1
    return emitOpError("expected groups of tokens with over_tokens only");
  return success();
}

LogicalResult ScoreOp::reifyResultShapes(OpBuilder &b,
                                         ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(mixedExtents(b, getLoc(), getLogits()));
  return success();
}

LogicalResult SelectOp::inferReturnTypes(MLIRContext *context,
                                         std::optional<Location>,
                                         SelectOp::Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  int64_t shape[] = {extent(adaptor.getKey(), 0),
                     static_cast<int64_t>(adaptor.getK())};
  types.push_back(RankedTensorType::get(shape, IntegerType::get(context, 32)));
  return success();
}

void SelectOp::build(OpBuilder &b, OperationState &state, Value key,
                     int64_t k) {
  build(b, state, key, b.getI64IntegerAttr(k), /*bias=*/Value(),
        /*groups=*/GroupsAttr(), /*above=*/FloatAttr(), /*until=*/FloatAttr());
}

/// Checks groups of `experts`.
static LogicalResult
verifyGroups(Operation *op, std::optional<GroupsAttr> groups, int64_t experts) {
  if (!groups)
    return success();
  int64_t count = groups->getCount();
  if (count < 1 || experts % count != 0)
    return op->emitOpError("expected a number of groups that divides ")
           << experts << " experts, got " << count;
  if (groups->getKeep() < 1 || groups->getKeep() > count)
    return op->emitOpError("expected between 1 and ")
           << count << " groups to keep, got " << groups->getKeep();
  if (groups->getTerms() < 1 || groups->getTerms() > experts / count)
    return op->emitOpError("expected between 1 and ")
           << experts / count << " keys in a group's score, got "
           << groups->getTerms();
  return success();
}

/// Checks a bias of the keys of `experts`.
static LogicalResult verifyBias(Operation *op, Value bias, int64_t experts) {
  if (!bias || compatible(extent(bias, 0), experts))
    return success();
  return op->emitOpError("expected a bias for ")
         << experts << " experts, got " << str(extent(bias, 0));
}

/// Checks what weights are divided by.
template <typename OpTy>
static LogicalResult verifyDivisor(OpTy op) {
  if (op.getPlus() && op.getAtLeast())
    return op.emitOpError("expected plus or at_least, got both");
  if ((op.getPlus() || op.getAtLeast()) && op.getNorm() == Norm::None)
    return op.emitOpError("expected a norm with ")
           << (op.getPlus() ? "plus" : "at_least");
  return success();
}

LogicalResult SelectOp::verify() {
  if (failed(verifyTopK(*this, getKey(), getK()))) // select_c1
    return failure();
  int64_t experts = extent(getKey(), 1);
  if (failed(verifyBias(*this, getBias(), experts))) // select_c2
    return failure();
  return verifyGroups(*this, getGroups(), experts); // select_c3
}

LogicalResult SelectOp::reifyResultShapes(OpBuilder &b,
                                          ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(
      {mixedExtent(b, getLoc(), getKey(), 0), b.getIndexAttr(getK())});
  return success();
}

LogicalResult WeighOp::inferReturnTypes(MLIRContext *context,
                                        std::optional<Location>,
                                        WeighOp::Adaptor adaptor,
                                        SmallVectorImpl<Type> &types) {
  types.push_back(cast<RankedTensorType>(adaptor.getIdx().getType())
                      .clone(Float32Type::get(context)));
  return success();
}

void WeighOp::build(OpBuilder &b, OperationState &state, Value scores,
                    Value idx, Norm norm) {
  build(b, state, scores, idx, norm, /*plus=*/FloatAttr(),
        /*at_least=*/FloatAttr(), /*scale=*/FloatAttr());
}

LogicalResult WeighOp::verify() {
  if (!verifyRows(*this, "indices", getIdx(),
                  extent(getScores(), 0))) // weigh_c1
    return failure();
  return verifyDivisor(*this); // weigh_c2
}

LogicalResult WeighOp::reifyResultShapes(OpBuilder &b,
                                         ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(mixedExtents(b, getLoc(), getIdx()));
  return success();
}

int64_t RouteOp::getNumExperts() { return extent(getLogits(), 1); }

int64_t RouteOp::getK() { return extent(getIdxInit(), 1); }

LogicalResult RouteOp::verify() {
  if (failed(verifyTopK(*this, getLogits(), getK()))) // route_c1
    return failure();
  auto idx = cast<ShapedType>(getIdxInit().getType());
  auto weights = cast<ShapedType>(getWeightsInit().getType());
  if (failed(verifyCompatibleShape(idx, weights)) ||
      !compatible(idx.getDimSize(0), extent(getLogits(), 0))) // route_c2
    return emitOpError("expected indices and weights of shape ")
           << str({extent(getLogits(), 0), getK()}) << ", got "
           << str(idx.getShape()) << " and " << str(weights.getShape());
  if (failed(verifyBias(*this, getBias(), getNumExperts())) ||
      failed(verifyGroups(*this, getGroups(), getNumExperts())) ||
      failed(verifyDivisor(*this))) // route_c3
    return failure();
  bool isWeighed = getNorm() != Norm::None || getScale();
  if (getOfChosen() &&
      (getByLogits() || getAbove() || getUntil() || isWeighed)) // route_c4
    return emitOpError("expected of_chosen without by_logits, above, until, "
                       "norm and scale");
  return success();
}

//===----------------------------------------------------------------------===//
// limit, assign
//===----------------------------------------------------------------------===//

/// Checks `experts >= 1`.
static LogicalResult verifyExperts(Operation *op, uint64_t experts) {
  auto count = static_cast<int64_t>(experts);
  if (count < 1)
    return op->emitOpError("expected at least 1 expert, got ") << count;
  return success();
}

LogicalResult LimitOp::inferReturnTypes(MLIRContext *context,
                                        std::optional<Location>,
                                        LimitOp::Adaptor adaptor,
                                        SmallVectorImpl<Type> &types) {
  types.push_back(adaptor.getIdx().getType());
  return success();
}

LogicalResult LimitOp::verify() {
  if (failed(verifyExperts(*this, getExperts()))) // limit_c1
    return failure();
  if (Value priority = getPriority()) {
    auto type = cast<ShapedType>(priority.getType());
    auto idx = cast<ShapedType>(getIdx().getType());
    if (failed(verifyCompatibleShape(idx, type))) // limit_c2
      return emitOpError("expected priorities of shape ")
             << str(idx.getShape()) << ", got " << str(type.getShape());
  }
  CapacityAttr capacity = getCapacity();
  auto isFraction = [&] {
    double factor = capacity.getFactor().getValueAsDouble();
    return factor > 0 && std::isfinite(factor) && capacity.getMin() >= 1 &&
           capacity.getMultiple() >= 1;
  };
  if (capacity.isFixed() ? capacity.getFixed() < 1 : !isFraction()) // limit_c3
    return emitOpError("expected a capacity of at least 1, got ") << capacity;
  return success();
}

LogicalResult LimitOp::reifyResultShapes(OpBuilder &b,
                                         ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(mixedExtents(b, getLoc(), getIdx()));
  return success();
}

LogicalResult AssignOp::inferReturnTypes(MLIRContext *context,
                                         std::optional<Location>,
                                         AssignOp::Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  Type i32 = IntegerType::get(context, 32);
  Value idx = adaptor.getIdx();
  int64_t offsets = static_cast<int64_t>(adaptor.getExperts()) + 1;
  types.push_back(idx.getType());
  types.push_back(
      RankedTensorType::get({slots(extent(idx, 0), extent(idx, 1))}, i32));
  types.push_back(RankedTensorType::get({std::max<int64_t>(offsets, 0)}, i32));
  return success();
}

LogicalResult AssignOp::verify() {
  return verifyExperts(*this, getExperts()); // assign_c1
}

LogicalResult AssignOp::reifyResultShapes(OpBuilder &b,
                                          ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> idx = mixedExtents(b, getLoc(), getIdx());
  AffineExpr s0, s1;
  bindSymbols(getContext(), s0, s1);
  OpFoldResult n = affine::makeComposedFoldedAffineApply(b, getLoc(), s0 * s1,
                                                         {idx[0], idx[1]});
  shapes.push_back(idx);
  shapes.push_back({n});
  shapes.push_back({b.getIndexAttr(getExperts() + 1)});
  return success();
}
