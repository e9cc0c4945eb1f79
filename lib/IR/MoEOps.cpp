//===- MoEOps.cpp - Operations of the moe dialect -------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers, inferred types and effects. A label such as `select_c1` ties a
// check to its sentence at the op's definition and to its case in
// test/IR/invalid*.mlir.
//
//===----------------------------------------------------------------------===//

#include "Shapes.h"

#include "moe/IR/Packing.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <cmath>

using namespace mlir;
using namespace mlir::moe;

#define GET_OP_CLASSES
#include "moe/IR/MoEOps.cpp.inc"

//===----------------------------------------------------------------------===//
// Weights of products
//===----------------------------------------------------------------------===//

/// Whether elements of `weights` are floats, as those of formats of bytes are
/// not.
static bool hasFloats(Value weights) {
  return isa<FloatType>(getElementTypeOrSelf(weights));
}

/// Checks that `weights` are matrices `[leading..., out, in]`, packed as
/// `format`.
static LogicalResult verifyPacked(Operation *op, StringRef name, Value weights,
                                  ArrayRef<int64_t> matrices, PackFormat format,
                                  int numSources) {
  auto type = cast<ShapedType>(weights.getType());
  RankedTensorType packed = getPackedType(
      format,
      RankedTensorType::get(matrices, Float32Type::get(op->getContext())),
      numSources);
  if (type.getShape() == packed.getShape() &&
      type.getElementType() == packed.getElementType())
    return success();
  return op->emitOpError("expected ")
         << name << " packed as " << str(packed.getShape()) << " of "
         << packed.getElementType() << ", got " << type;
}

/// Checks that `compute` is for weights of this format.
static LogicalResult verifyCompute(Operation *op, Compute compute,
                                   std::optional<PackFormat> format) {
  if (isComputable(format, compute))
    return success();
  return op->emitOpError("expected weights packed for compute ")
         << stringifyCompute(compute) << ", got "
         << (format ? stringifyPackFormat(*format) : "unpacked ones");
}

//===----------------------------------------------------------------------===//
// Destination-style ops
//===----------------------------------------------------------------------===//

/// A destination-style op on memrefs reads its inputs and writes its inits; on
/// tensors only the state that is a memref has effects.
static void getDestinationEffects(
    DestinationStyleOpInterface op,
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    if (op.isDpsInit(&operand))
      effects.emplace_back(MemoryEffects::Write::get(), &operand);
    else
      effects.emplace_back(MemoryEffects::Read::get(), &operand);
  }
}

/// Results of a destination-style op have the shapes of its inits.
static LogicalResult
reifyDestinationShapes(DestinationStyleOpInterface op, OpBuilder &b,
                       ReifiedRankedShapedTypeDims &shapes) {
  for (Value init : op.getDpsInits())
    if (isa<RankedTensorType>(init.getType()))
      shapes.push_back(mixedExtents(b, op.getLoc(), init));
  return success();
}

#define MOE_DESTINATION_OP(OP)                                                 \
  void OP::getEffects(                                                         \
      SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>      \
          &effects) {                                                          \
    getDestinationEffects(*this, effects);                                     \
  }                                                                            \
  LogicalResult OP::reifyResultShapes(OpBuilder &b,                            \
                                      ReifiedRankedShapedTypeDims &shapes) {   \
    return reifyDestinationShapes(*this, b, shapes);                           \
  }
MOE_DESTINATION_OP(GroupedMatmulOp)
MOE_DESTINATION_OP(RouteOp)
MOE_DESTINATION_OP(ExpertFfnOp)
MOE_DESTINATION_OP(AttentionOp)
#undef MOE_DESTINATION_OP

LogicalResult GroupedMatmulOp::verify() {
  auto weights = cast<ShapedType>(getWeights().getType());
  ArrayRef<int64_t> shape = weights.getShape();
  int64_t in = extent(getRows(), 1), out = extent(getInit(), 1);
  int64_t groups = getOffsets() ? 1 : 0;
  if (std::optional<PackFormat> format = getPacked()) {
    SmallVector<int64_t> matrices(shape.take_front(groups));
    matrices.append({out, in});
    if (failed(verifyPacked(*this, "weights", getWeights(), matrices, *format,
                            /*numSources=*/1))) // grouped_matmul_c5
      return failure();
  } else {
    if (!hasFloats(getWeights())) // grouped_matmul_c5
      return emitOpError("expected weights of floats, got ") << weights;
    if (!weights.hasStaticShape() ||
        weights.getRank() != 2 + groups) // grouped_matmul_c1
      return emitOpError("expected static weights ")
             << (groups ? "[E,out,in]" : "[out,in]") << ", got " << str(shape);
    if (shape.back() != in || shape[groups] != out) // grouped_matmul_c2
      return emitOpError("expected weights of ")
             << str({out, in}) << ", got " << str(shape.drop_front(groups));
  }
  if (failed(verifyCompute(*this, getCompute(),
                           getPacked()))) // grouped_matmul_c6
    return failure();
  if (getOffsets() &&
      extent(getOffsets(), 0) != shape[0] + 1) // grouped_matmul_c3
    return emitOpError("expected ")
           << shape[0] + 1 << " offsets, got " << str(extent(getOffsets(), 0));
  if (!compatible(extent(getRows(), 0),
                  extent(getInit(), 0))) // grouped_matmul_c4
    return emitOpError("expected ")
           << str(extent(getRows(), 0)) << " rows in outs, got "
           << str(extent(getInit(), 0));
  return success();
}

/// Checks a static operand of floats.
static LogicalResult verifyFloats(Operation *op, StringRef name, Value value,
                                  ArrayRef<int64_t> shape) {
  auto type = cast<ShapedType>(value.getType());
  if (type.getShape() == shape && hasFloats(value))
    return success();
  return op->emitOpError("expected ")
         << name << " of floats " << str(shape) << ", got " << type;
}

int64_t ExpertFfnOp::getNumExperts() { return extent(getWeights().front(), 0); }

LogicalResult ExpertFfnOp::verify() {
  GluClauses clauses = getClauses();
  if (failed(clauses.verify(*this))) // expert_ffn_c6
    return failure();
  size_t numProducts = clauses.isGated() ? 3 : 2;
  size_t numWeights = getPacked() ? 2 : numProducts;
  if (getWeights().size() != numWeights) // expert_ffn_c1
    return emitOpError("expected ")
           << numWeights << " weights, got " << getWeights().size();
  for (Value weight : getWeights())
    if (!cast<ShapedType>(weight.getType()).hasStaticShape()) // expert_ffn_c1
      return emitOpError("expected weights of static shape, got ")
             << weight.getType();
  if (getPacked() ? getInner().value_or(0) < 1
                  : getInner().has_value()) // expert_ffn_c4
    return emitOpError("expected inner of at least 1 with packed, got ")
           << (getInner() ? Twine(*getInner()) : "none");
  if (failed(verifyCompute(*this, getCompute(), getPacked()))) // expert_ffn_c5
    return failure();
  if (!getBiases().empty() &&
      getBiases().size() != numProducts) // expert_ffn_c7
    return emitOpError("expected ")
           << numProducts << " biases, got " << getBiases().size();
  Value first = getWeights().front(), down = getWeights().back();
  int64_t experts = getNumExperts(), hidden = extent(getX(), 1);
  int64_t inner = getPacked() ? *getInner() : extent(first, 1);
  if (std::optional<PackFormat> format = getPacked()) { // expert_ffn_c2
    if (failed(verifyPacked(*this, clauses.isGated() ? "gate and up" : "up",
                            first, {experts, inner, hidden}, *format,
                            /*numSources=*/clauses.isGated() ? 2 : 1)) ||
        failed(verifyPacked(*this, "down", down, {experts, hidden, inner},
                            *format, /*numSources=*/1)))
      return failure();
  }
  StringRef products[] = {"gate", "up", "down"};
  for (auto [i, name] :
       llvm::enumerate(ArrayRef(products).take_back(numProducts))) {
    bool isDown = name == "down";
    int64_t out = isDown ? hidden : inner, in = isDown ? inner : hidden;
    if (!getPacked() &&
        failed(verifyFloats(*this, name, getWeights()[i],
                            {experts, out, in}))) // expert_ffn_c2
      return failure();
    if (!getBiases().empty() &&
        failed(verifyFloats(*this, (name + " bias").str(), getBiases()[i],
                            {experts, out}))) // expert_ffn_c7
      return failure();
  }
  int64_t tokens = extent(getX(), 0);
  auto idx = cast<ShapedType>(getIdx().getType());
  auto slotWeights = cast<ShapedType>(getSlotWeights().getType());
  if (failed(verifyCompatibleShape(idx, slotWeights)) ||
      !compatible(idx.getDimSize(0), tokens) ||
      !compatible(extent(getInit(), 0), tokens)) // expert_ffn_c3
    return emitOpError("expected indices, weights and outs of ")
           << str(tokens) << " tokens, got " << str(idx.getShape()) << ", "
           << str(slotWeights.getShape()) << " and "
           << str(cast<ShapedType>(getInit().getType()).getShape());
  return success();
}

//===----------------------------------------------------------------------===//
// attention, cache_update
//===----------------------------------------------------------------------===//

LogicalResult AttentionOp::verify() {
  int64_t heads = extent(getQ(), 1), size = extent(getQ(), 2);
  int64_t kv = extent(getKCache(), 2), cached = extent(getKCache(), 4);
  for (int64_t e : {heads, size, kv, cached})
    if (ShapedType::isDynamic(e)) // attention_c1
      return emitOpError("expected static heads and head size, got ")
             << getQ().getType() << " and " << getKCache().getType();
  if (kv == 0 || heads % kv != 0) // attention_c1
    return emitOpError("expected a multiple of ")
           << kv << " query heads, got " << heads;
  if (size != cached) // attention_c1
    return emitOpError("expected caches of head size ")
           << size << ", got " << cached;
  auto init = cast<ShapedType>(getInit().getType());
  if (failed(verifyCompatibleShape(cast<ShapedType>(getQ().getType()),
                                   init))) // attention_c2
    return emitOpError("expected outs of the shape of the queries, ")
           << str(cast<ShapedType>(getQ().getType()).getShape()) << ", got "
           << str(init.getShape());
  if (!getScale().isFinite()) // attention_c3
    return emitOpError("expected a finite scale, got ")
           << getScale().convertToDouble();
  if (std::optional<APFloat> cap = getSoftcap();
      cap && !(cap->isFiniteNonZero() && !cap->isNegative())) // attention_c3
    return emitOpError("expected a finite softcap above 0, got ")
           << cap->convertToDouble();
  for (auto [name, extent] :
       {std::pair("window", getWindow()), std::pair("chunk", getChunk())})
    if (extent && static_cast<int64_t>(*extent) < 1) // attention_c3
      return emitOpError("expected a ")
             << name << " of at least 1, got " << static_cast<int64_t>(*extent);
  if (getSinks() && extent(getSinks(), 0) != heads) // attention_c4
    return emitOpError("expected ")
           << heads << " sinks, got " << str(extent(getSinks(), 0));
  if (getBias()) {
    auto bias = cast<ShapedType>(getBias().getType());
    if (!bias.hasStaticShape() || bias.getDimSize(0) != heads ||
        bias.getDimSize(1) % 2 != 1) // attention_c5
      return emitOpError("expected a static bias of ")
             << heads << " rows and an odd number of columns, got "
             << str(bias.getShape());
  }
  return success();
}

LogicalResult CacheUpdateOp::verify() {
  ArrayRef<int64_t> row =
      cast<ShapedType>(getRows().getType()).getShape().take_back(2);
  int64_t cache[] = {extent(getCache(), 2), extent(getCache(), 4)};
  if (row != ArrayRef(cache) || llvm::is_contained(row, ShapedType::kDynamic))
    return emitOpError(
               "expected rows of the cache's static ") // cache_update_c1
           << str(cache) << ", got " << str(row);
  return success();
}

void CacheUpdateOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  for (OpOperand &operand : getOperation()->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    if (&operand == &getCacheMutable())
      effects.emplace_back(MemoryEffects::Write::get(), &operand);
    else
      effects.emplace_back(MemoryEffects::Read::get(), &operand);
  }
}

//===----------------------------------------------------------------------===//
// panel_matmul
//===----------------------------------------------------------------------===//

LogicalResult PanelMatmulOp::verify() {
  auto matrix =
      RankedTensorType::get({kPanelColumns, 1}, Float32Type::get(getContext()));
  Type element =
      getPackedType(getFormat(), matrix, /*numSources=*/1).getElementType();
  if (getWeights().getType().getElementType() != element) // panel_matmul_c1
    return emitOpError("expected weights of ")
           << element << ", got " << getWeights().getType();
  if (!isComputable(getFormat(), getCompute())) // panel_matmul_c2
    return emitOpError("expected a compute that goes with ")
           << stringifyPackFormat(getFormat()) << ", got "
           << stringifyCompute(getCompute());
  return success();
}
