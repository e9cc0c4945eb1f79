//===- TrainingOps.cpp - Ops that training alone needs --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers and inferred types, as in MoEOps.cpp.
//
//===----------------------------------------------------------------------===//

#include "Shapes.h"

#include "moe/IR/MoE.h"

using namespace mlir;
using namespace mlir::moe;

LogicalResult AuxLossOp::inferReturnTypes(MLIRContext *context,
                                          std::optional<Location>,
                                          AuxLossOp::Adaptor adaptor,
                                          SmallVectorImpl<Type> &types) {
  types.push_back(RankedTensorType::get({}, Float32Type::get(context)));
  return success();
}

LogicalResult AuxLossOp::verify() {
  bool isBalance = getKind() == LossKind::Balance;
  if (isBalance != static_cast<bool>(getIdx())) // aux_loss_c1
    return emitOpError("expected ") << (isBalance ? "indices" : "no indices")
                                    << " with " << stringifyLossKind(getKind());
  if (getCu() && !isBalance) // aux_loss_c1
    return emitOpError("expected no groups with ")
           << stringifyLossKind(getKind());
  if (ShapedType::isDynamic(extent(getValues(), 1))) // aux_loss_c2
    return emitOpError("expected a static number of experts, got ")
           << getValues().getType();
  if (getIdx() && !verifyRows(*this, "indices", getIdx(),
                              extent(getValues(), 0))) // aux_loss_c2
    return failure();
  return success();
}

LogicalResult
AuxLossOp::reifyResultShapes(OpBuilder &b,
                             ReifiedRankedShapedTypeDims &shapes) {
  shapes.emplace_back();
  return success();
}

LogicalResult BiasUpdateOp::verify() {
  int64_t experts = extent(getBias(), 0), counted = extent(getCounts(), 0);
  if (ShapedType::isDynamic(experts) || counted != experts) // bias_update_c1
    return emitOpError("expected a static bias and as many counts, got ")
           << str(experts) << " and " << str(counted);
  return success();
}

LogicalResult
BiasUpdateOp::reifyResultShapes(OpBuilder &b,
                                ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(mixedExtents(b, getLoc(), getBias()));
  return success();
}

LogicalResult NoiseOp::verify() {
  if (extent(getSeed(), 0) != 2) // noise_c1
    return emitOpError("expected a seed of 2 elements, got ")
           << str(extent(getSeed(), 0));
  return success();
}

LogicalResult NoiseOp::reifyResultShapes(OpBuilder &b,
                                         ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(mixedExtents(b, getLoc(), getLike()));
  return success();
}
