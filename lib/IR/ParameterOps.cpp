//===- ParameterOps.cpp - Declarations and loads of parameters ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The parameter program takes what is verified here for granted: that chains of
// derivations end, and that a view reads nothing outside of its source.
//
//===----------------------------------------------------------------------===//

#include "moe/IR/Packing.h"

#include "llvm/ADT/DynamicAPInt.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::DynamicAPInt;

//===----------------------------------------------------------------------===//
// Ranges of affine maps
//===----------------------------------------------------------------------===//

namespace {
/// The integers from `min` to `max`.
struct Bounds {
  DynamicAPInt min, max;
};
} // namespace

/// Bounds of every value of `expr` where dimension `i` runs from 0 to
/// `extents[i] - 1`; the closest ones if no dimension is in `expr` twice.
/// Divisors are positive.
static Bounds getBounds(AffineExpr expr, ArrayRef<int64_t> extents) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return {DynamicAPInt(constant.getValue()),
            DynamicAPInt(constant.getValue())};
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return {DynamicAPInt(0), DynamicAPInt(extents[dim.getPosition()]) - 1};
  auto binary = cast<AffineBinaryOpExpr>(expr);
  auto [min, max] = getBounds(binary.getLHS(), extents);
  Bounds right = getBounds(binary.getRHS(), extents);
  if (expr.getKind() == AffineExprKind::Add)
    return {min + right.min, max + right.max};
  // Other operators of affine expressions have a constant on the right.
  DynamicAPInt factor = right.min;
  switch (expr.getKind()) {
  case AffineExprKind::Mul:
    return {std::min(min * factor, max * factor),
            std::max(min * factor, max * factor)};
  case AffineExprKind::FloorDiv:
    return {floorDiv(min, factor), floorDiv(max, factor)};
  case AffineExprKind::CeilDiv:
    return {ceilDiv(min, factor), ceilDiv(max, factor)};
  case AffineExprKind::Mod:
    if (floorDiv(min, factor) == floorDiv(max, factor))
      return {mod(min, factor), mod(max, factor)};
    return {DynamicAPInt(0), factor - 1};
  default:
    llvm_unreachable("expected an affine expression");
  }
}

/// Whether an expression divides by 0 or less.
static bool dividesByNonPositive(AffineExpr expr) {
  bool found = false;
  expr.walk([&](AffineExpr part) {
    auto binary = dyn_cast<AffineBinaryOpExpr>(part);
    if (!binary || part.getKind() == AffineExprKind::Add ||
        part.getKind() == AffineExprKind::Mul)
      return;
    auto divisor = dyn_cast<AffineConstantExpr>(binary.getRHS());
    found |= !divisor || divisor.getValue() < 1;
  });
  return found;
}

//===----------------------------------------------------------------------===//
// parameter
//===----------------------------------------------------------------------===//

void ParameterOp::build(OpBuilder &b, OperationState &state, StringRef name,
                        RankedTensorType matrices, PackFormat format,
                        ArrayAttr packed) {
  RankedTensorType type = getPackedType(format, matrices, packed.size());
  state.addAttribute(getSymNameAttrName(state.name), b.getStringAttr(name));
  state.addAttribute(getTypeAttrName(state.name), TypeAttr::get(type));
  if (isByteFormat(format))
    state.addAttribute(getFormatAttrName(state.name),
                       PackFormatAttr::get(b.getContext(), format));
  state.addAttribute(getPackedAttrName(state.name), packed);
}

PackFormat ParameterOp::getPackFormat() {
  return getFormat().value_or(getOwnFormat(getTensorType().getElementType()));
}

SmallVector<FlatSymbolRefAttr> ParameterOp::getSourceNames() {
  if (getViewed())
    return {getViewedAttr()};
  for (ArrayAttr names : {getExpandedAttr(), getScaledAttr(), getPackedAttr()})
    if (names)
      return llvm::to_vector(names.getAsRange<FlatSymbolRefAttr>());
  return {};
}

/// The number of placeholders {0}..{n-1} of a tensor's name, or failure if a
/// number is missing or repeated.
static FailureOr<int64_t> countPlaceholders(StringRef name) {
  int64_t n = name.count('{');
  for (int64_t i = 0; i < n; ++i)
    if (name.count(("{" + Twine(i) + "}").str()) != 1)
      return failure();
  return n;
}

static LogicalResult verifyTensorName(ParameterOp op) {
  RankedTensorType type = op.getTensorType();
  FailureOr<int64_t> placeholders = countPlaceholders(*op.getSource());
  if (failed(placeholders) || *placeholders > type.getRank()) // parameter_c3
    return op.emitOpError("expected each of the placeholders {0}, {1}, ... "
                          "once and at most as many as extents, got \"")
           << *op.getSource() << "\"";
  if (!op.getIndices())
    return success();
  if (static_cast<int64_t>(op.getIndices()->size()) !=
      *placeholders) // parameter_c4
    return op.emitOpError("expected ")
           << *placeholders << " lists of indices, got "
           << op.getIndices()->size();
  for (auto [dim, list] : llvm::enumerate(*op.getIndices())) {
    auto numbers = dyn_cast<ArrayAttr>(list);
    if (!numbers || !llvm::all_of(numbers, llvm::IsaPred<IntegerAttr>) ||
        static_cast<int64_t>(numbers.size()) !=
            type.getDimSize(dim)) // parameter_c4
      return op.emitOpError("expected a list of ")
             << type.getDimSize(dim) << " integers for {" << dim << "}, got "
             << list;
  }
  return success();
}

LogicalResult ParameterOp::verify() {
  bool origins[] = {getSource().has_value(), getViewed().has_value(),
                    getExpanded().has_value(), getScaled().has_value(),
                    getPacked().has_value()};
  if (llvm::count(origins, true) != 1) // parameter_c1
    return emitOpError("expected one of `from`, `view of`, `mxfp4 of`, `fp8 "
                       "of` and `pack of`, got ")
           << llvm::count(origins, true);
  if (!getTensorType().hasStaticShape()) // parameter_c2
    return emitOpError("expected a static shape, got ") << getTensorType();
  if (getSource())
    return verifyTensorName(*this);
  size_t n = getSourceNames().size();
  if (getPacked() && (n < 1 || n > 2)) // parameter_c5
    return emitOpError("expected one or two sources, got ") << n;
  if (getExpanded() && n != 2) // parameter_c9
    return emitOpError("expected blocks and scales, got ") << n << " sources";
  if (getScaled() && n != 2) // parameter_c10
    return emitOpError("expected elements and scales, got ") << n << " sources";
  return success();
}

static LogicalResult verifyPack(ParameterOp op, ArrayRef<ParameterOp> sources) {
  RankedTensorType first;
  for (ParameterOp source : sources) {
    RankedTensorType type = source.getTensorType();
    if (source.getPacked()) // parameter_c5
      return op.emitOpError("expected a source that is not packed, got @")
             << source.getSymName();
    if (first && type != first) // parameter_c5
      return op.emitOpError("expected sources of one type, got ")
             << first << " and " << type;
    first = type;
  }
  if (first.getRank() < 2 ||
      first.getElementType().getIntOrFloatBitWidth() == 8) // parameter_c5
    return op.emitOpError("expected a matrix of floats to pack, got ") << first;
  Type element = op.getTensorType().getElementType();
  if (op.getFormat() ? !isByteFormat(*op.getFormat())
                     : element.isInteger()) // parameter_c5
    return op.emitOpError("expected a format of bytes to pack in ")
           << element << ", got "
           << (op.getFormat() ? stringifyPackFormat(*op.getFormat()) : "none");
  RankedTensorType packed =
      getPackedType(op.getPackFormat(), first, sources.size());
  if (packed != op.getTensorType()) // parameter_c5
    return op.emitOpError("expected the packed type ")
           << packed << ", got " << op.getTensorType();
  return success();
}

static LogicalResult verifyView(ParameterOp op, ParameterOp source) {
  RankedTensorType type = op.getTensorType(), from = source.getTensorType();
  if (source.getPacked()) // parameter_c6
    return op.emitOpError("expected a source that is not packed, got @")
           << source.getSymName();
  if (source->getBlock() != op->getBlock() ||
      !source->isBeforeInBlock(op)) // parameter_c6
    return op.emitOpError("expected a source that stands before, got @")
           << source.getSymName();
  if (type.getElementType() != from.getElementType()) // parameter_c6
    return op.emitOpError("expected elements of ")
           << from.getElementType() << ", got " << type.getElementType();
  AffineMap map = *op.getMap();
  if (map.getNumSymbols() != 0 || map.getNumDims() != type.getRank() ||
      map.getNumResults() != from.getRank()) // parameter_c7
    return op.emitOpError("expected a map from ")
           << type.getRank() << " dimensions to " << from.getRank() << ", got "
           << op.getMapAttr();
  if (llvm::any_of(map.getResults(), dividesByNonPositive)) // parameter_c7
    return op.emitOpError("expected positive divisors, got ")
           << op.getMapAttr();
  for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
    auto [min, max] = getBounds(expr, type.getShape());
    if (min < 0 || max >= from.getDimSize(dim)) // parameter_c8
      return op.emitOpError("expected indices from 0 to ")
             << from.getDimSize(dim) - 1 << " for extent " << dim << " of @"
             << source.getSymName() << ", got " << int64_t(min) << " to "
             << int64_t(max);
  }
  return success();
}

/// Checks that elements and their scales are stacks of as many tensors of the
/// checkpoint, of these types.
static LogicalResult verifyScaled(ParameterOp op, ParameterOp elements,
                                  Type elementType, ParameterOp scales,
                                  Type scaleType) {
  for (auto [source, type] :
       {std::pair(elements, elementType), std::pair(scales, scaleType)})
    if (!source.getSource() || source.getTensorType().getElementType() != type)
      return op.emitOpError("expected a tensor of ")
             << type << " of the checkpoint, got @" << source.getSymName();
  if (elements.getSource()->count('{') != scales.getSource()->count('{'))
    return op.emitOpError("expected as many placeholders in \"")
           << *scales.getSource() << "\" as in \"" << *elements.getSource()
           << "\"";
  return success();
}

static LogicalResult verifyMxfp4(ParameterOp op, ParameterOp blocks,
                                 ParameterOp scales) {
  Type byte = IntegerType::get(op.getContext(), 8);
  if (failed(verifyScaled(op, blocks, byte, scales, byte))) // parameter_c9
    return failure();
  SmallVector<int64_t> groups(scales.getTensorType().getShape());
  SmallVector<int64_t> bytes = groups, elements = groups;
  bytes.push_back(16);
  if (groups.empty() ||
      blocks.getTensorType().getShape() != ArrayRef(bytes)) // parameter_c9
    return op.emitOpError("expected blocks of 16 bytes for each scale, got ")
           << blocks.getTensorType() << " and " << scales.getTensorType();
  elements.back() *= 32;
  auto expected =
      RankedTensorType::get(elements, BFloat16Type::get(op.getContext()));
  if (op.getTensorType() != expected) // parameter_c9
    return op.emitOpError("expected the type ")
           << expected << ", got " << op.getTensorType();
  return success();
}

static LogicalResult verifyFp8(ParameterOp op, ParameterOp elements,
                               ParameterOp scales) {
  MLIRContext *context = op.getContext();
  if (failed(verifyScaled(op, elements, Float8E4M3FNType::get(context), scales,
                          Float32Type::get(context)))) // parameter_c10
    return failure();
  RankedTensorType type = elements.getTensorType();
  SmallVector<int64_t> blocks(type.getShape());
  if (type.getRank() < 2) // parameter_c10
    return op.emitOpError("expected matrices, got ") << type;
  for (int64_t &extent : MutableArrayRef(blocks).take_back(2))
    extent = llvm::divideCeil(extent, kScaleBlock);
  auto expected = scales.getTensorType().clone(blocks);
  if (scales.getTensorType() != expected) // parameter_c10
    return op.emitOpError("expected scales of the type ")
           << expected << ", got " << scales.getTensorType();
  Type element = op.getTensorType().getElementType();
  if (op.getTensorType().getShape() != type.getShape() ||
      (!element.isBF16() && !element.isF32())) // parameter_c10
    return op.emitOpError("expected the type ")
           << type.clone(BFloat16Type::get(context)) << ", or of f32, got "
           << op.getTensorType();
  return success();
}

LogicalResult
ParameterOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  SmallVector<ParameterOp> sources;
  for (FlatSymbolRefAttr name : getSourceNames()) {
    auto source = symbolTable.lookupNearestSymbolFrom<ParameterOp>(*this, name);
    if (!source) // parameter_c5, parameter_c6, parameter_c9, parameter_c10
      return emitOpError("expected a parameter, got ") << name;
    sources.push_back(source);
  }
  if (getPacked())
    return verifyPack(*this, sources);
  if (getViewed())
    return verifyView(*this, sources.front());
  if (getExpanded())
    return verifyMxfp4(*this, sources[0], sources[1]);
  if (getScaled())
    return verifyFp8(*this, sources[0], sources[1]);
  return success();
}

//===----------------------------------------------------------------------===//
// load_parameter
//===----------------------------------------------------------------------===//

LogicalResult
LoadParameterOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  auto parameter = symbolTable.lookupNearestSymbolFrom<ParameterOp>(
      *this, getParameterAttr());
  if (!parameter) // load_parameter_c1
    return emitOpError("expected a parameter, got ") << getParameterAttr();
  RankedTensorType type = parameter.getTensorType();
  auto result = cast<ShapedType>(getResult().getType());
  if (static_cast<int64_t>(getIndices().size()) > type.getRank() ||
      type.getShape().drop_front(getIndices().size()) != result.getShape() ||
      type.getElementType() != result.getElementType()) // load_parameter_c1
    return emitOpError("expected a slice of ")
           << type << " after " << getIndices().size() << " indices, got "
           << getResult().getType();
  return success();
}
