//===- Shapes.h - Extents that verifiers and shape inference speak of *- C++
//-*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_IR_SHAPES_H
#define MOE_LIB_IR_SHAPES_H

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/StringExtras.h"

namespace mlir::moe {

/// True if two extents can be equal at run time.
inline bool compatible(int64_t a, int64_t b) {
  return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b);
}

inline int64_t extent(Value v, int64_t dim) {
  return cast<ShapedType>(v.getType()).getDimSize(dim);
}

/// Extent `dim` of `v` as an attribute or a `dim` op.
inline OpFoldResult mixedExtent(OpBuilder &b, Location loc, Value v,
                                int64_t dim) {
  if (isa<MemRefType>(v.getType()))
    return memref::getMixedSize(b, loc, v, dim);
  return tensor::getMixedSize(b, loc, v, dim);
}

inline SmallVector<OpFoldResult> mixedExtents(OpBuilder &b, Location loc,
                                              Value v) {
  SmallVector<OpFoldResult> sizes;
  for (int64_t dim = 0; dim < cast<ShapedType>(v.getType()).getRank(); ++dim)
    sizes.push_back(mixedExtent(b, loc, v, dim));
  return sizes;
}

/// An extent as it is printed in a diagnostic.
inline std::string str(int64_t extent) {
  return ShapedType::isDynamic(extent) ? "?" : std::to_string(extent);
}

inline std::string str(ArrayRef<int64_t> shape) {
  std::string text = "[";
  llvm::interleave(
      shape, [&](int64_t e) { text += str(e); }, [&] { text += ","; });
  return text + "]";
}

/// False and a diagnostic unless `v` has `expected` rows.
inline bool verifyRows(Operation *op, StringRef name, Value v,
                       int64_t expected) {
  if (compatible(extent(v, 0), expected))
    return true;
  op->emitOpError("expected ") << name << " for " << str(expected)
                               << " tokens, got " << str(extent(v, 0));
  return false;
}

/// Checks `1 <= k <= E` for a static number of experts.
inline LogicalResult verifyTopK(Operation *op, Value scores, int64_t k) {
  int64_t experts = extent(scores, 1);
  if (ShapedType::isDynamic(experts))
    return op->emitOpError("expected a static number of experts, got ")
           << scores.getType();
  if (k < 1 || k > experts)
    return op->emitOpError("expected between 1 and ")
           << experts << " experts per token, got " << str(k);
  return success();
}

/// N = T*k, or dynamic.
inline int64_t slots(int64_t tokens, int64_t k) {
  return ShapedType::isDynamic(tokens) || ShapedType::isDynamic(k)
             ? ShapedType::kDynamic
             : tokens * k;
}

} // namespace mlir::moe

#endif // MOE_LIB_IR_SHAPES_H
