//===- Passes.h - The edges between the forms of the IR ---------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_VERIFY_PASSES_H
#define MOE_VERIFY_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace mlir::moe {

/// The forms that a module passes through, in order.
enum class Form { Graph, Fused, Buffers, Loops, Target };

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "moe/Verify/Passes.h.inc"

} // namespace mlir::moe

#endif // MOE_VERIFY_PASSES_H
