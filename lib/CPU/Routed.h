//===- Routed.h - What decides which experts are chosen ---------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_ROUTED_H
#define MOE_LIB_CPU_ROUTED_H

#include "mlir/IR/Value.h"

namespace mlir::moe {

/// Whether `value` becomes, with or without arithmetic, what experts are chosen
/// by. Such a product keeps its precision.
bool isRouted(Value value);

} // namespace mlir::moe

#endif // MOE_LIB_CPU_ROUTED_H
