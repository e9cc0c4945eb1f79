//===- Linalg.h - Short names for linalg on tensors -------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builders that the lowerings of core ops share.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_LOWER_LINALG_H
#define MOE_LIB_LOWER_LINALG_H

#include "moe/Support/Scalars.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace mlir::moe {

/// An uninitialised tensor of extents `sizes`.
inline Value empty(ImplicitLocOpBuilder &b, ArrayRef<OpFoldResult> sizes,
                   Type element) {
  return tensor::EmptyOp::create(b, sizes, element);
}

inline Value filled(ImplicitLocOpBuilder &b, ArrayRef<OpFoldResult> sizes,
                    Value value) {
  return linalg::FillOp::create(b, value, empty(b, sizes, value.getType()))
      .getResult(0);
}

using Body = function_ref<Value(ImplicitLocOpBuilder &, ValueRange)>;

/// A linalg.generic with one output over dimensions d0, d1, ...; `maps` lists
/// the dimensions of each operand, and dimensions that the last one lacks are
/// reductions.
inline Value generic(ImplicitLocOpBuilder &b, unsigned dims, ValueRange ins,
                     Value out, ArrayRef<SmallVector<unsigned>> maps,
                     Body body) {
  SmallVector<AffineMap> indexing;
  for (ArrayRef<unsigned> map : maps)
    indexing.push_back(
        AffineMap::getMultiDimMapWithTargets(dims, map, b.getContext()));
  SmallVector<utils::IteratorType> iterators(dims,
                                             utils::IteratorType::reduction);
  for (unsigned d : maps.back())
    iterators[d] = utils::IteratorType::parallel;
  return linalg::GenericOp::create(
             b, out.getType(), ins, out, indexing, iterators,
             [&](OpBuilder &nested, Location loc, ValueRange args) {
               ImplicitLocOpBuilder inner(loc, nested);
               linalg::YieldOp::create(inner, body(inner, args));
             })
      .getResult(0);
}

/// A new tensor of the extents of the rank-2 tensor `x`, element by element.
inline Value elementwise(ImplicitLocOpBuilder &b, Value x, Type element,
                         Body body) {
  Value out = empty(b, tensor::getMixedSizes(b, b.getLoc(), x), element);
  return generic(b, 2, x, out, {{0, 1}, {0, 1}}, body);
}

/// Rows `first..first+count` of a rank-2 tensor as a slice's parameters.
inline SmallVector<SmallVector<OpFoldResult>> rowSlice(ImplicitLocOpBuilder &b,
                                                       Value tensor,
                                                       OpFoldResult first,
                                                       OpFoldResult count) {
  OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
  OpFoldResult columns = tensor::getMixedSize(b, b.getLoc(), tensor, 1);
  return {{first, zero}, {count, columns}, {one, one}};
}

/// Element `at` of a tensor of i32, as an index.
inline Value indexAt(ImplicitLocOpBuilder &b, Value tensor, ValueRange at) {
  return toIndex(b, tensor::ExtractOp::create(b, tensor, at));
}

/// Runs `body(b, group, first, end, carried)` for each group of tokens, the
/// rows `cu[b]..cu[b+1]`; without `cu` there is one group of `tokens` rows.
inline SmallVector<Value>
forEachGroup(ImplicitLocOpBuilder &b, Value cu, Value tokens, ValueRange inits,
             function_ref<SmallVector<Value>(ImplicitLocOpBuilder &, Value,
                                             Value, Value, ValueRange)>
                 body) {
  Value zero = constantIndex(b, 0), one = constantIndex(b, 1);
  if (!cu)
    return body(b, zero, zero, tokens, inits);
  Value groups = arith::SubIOp::create(b, tensor::DimOp::create(b, cu, 0), one);
  return forLoop(b, zero, groups, inits,
                 [&](ImplicitLocOpBuilder &b, Value group, ValueRange carried) {
                   Value next = arith::AddIOp::create(b, group, one);
                   return body(b, group, indexAt(b, cu, group),
                               indexAt(b, cu, next), carried);
                 })
      .getResults();
}

} // namespace mlir::moe

#endif // MOE_LIB_LOWER_LINALG_H
