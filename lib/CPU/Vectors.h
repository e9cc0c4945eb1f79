//===- Vectors.h - Short names for vector code ------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_VECTORS_H
#define MOE_LIB_CPU_VECTORS_H

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::moe {

/// The type of `lanes` f32.
VectorType f32s(ImplicitLocOpBuilder &b, int64_t lanes);

/// As many zeros.
Value zeros(ImplicitLocOpBuilder &b, int64_t lanes);

/// `scalar` in all lanes.
Value splat(ImplicitLocOpBuilder &b, Value scalar, int64_t lanes);

/// `x * y + z`, rounded once.
Value fma(ImplicitLocOpBuilder &b, Value x, Value y, Value z);

/// `values`, rounded to the nearest bf16, the even one of two, as the upper
/// halves of words. Not every level has an instruction for it.
Value roundToBF16(ImplicitLocOpBuilder &b, Value values);

/// True for the first `count` lanes.
Value firstLanes(ImplicitLocOpBuilder &b, int64_t lanes, int64_t count);

/// `count` elements; the other lanes are 0 and not read.
Value loadLanes(ImplicitLocOpBuilder &b, int64_t lanes, Value buffer,
                ValueRange at, int64_t count);

/// The first `count` lanes; no other element is written.
void storeLanes(ImplicitLocOpBuilder &b, Value vector, Value buffer,
                ValueRange at, int64_t count);

/// Calls `body(b, d, count)` for the registers of `size` elements, where
/// `count` are filled.
void forEachRegister(
    ImplicitLocOpBuilder &b, int64_t lanes, int64_t size,
    function_ref<void(ImplicitLocOpBuilder &b, Value d, int64_t count)> body);

/// Adds the upper half to the lower half until `lanes` lanes are left.
Value foldTo(ImplicitLocOpBuilder &b, int64_t lanes, Value vector);

/// The largest lane. NaN may be ignored.
Value maxLane(ImplicitLocOpBuilder &b, Value vector);

/// The sums of the lanes of four vectors, as one vector of 4 lanes.
Value sumEach(ImplicitLocOpBuilder &b, ValueRange vectors);

} // namespace mlir::moe

#endif // MOE_LIB_CPU_VECTORS_H
