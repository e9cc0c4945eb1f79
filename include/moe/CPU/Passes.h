//===- Passes.h - Lowering for CPUs -----------------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_CPU_PASSES_H
#define MOE_CPU_PASSES_H

#include "moe/IR/MoE.h"

#include "mlir/Dialect/OpenMP/OpenMPDialect.h"

#include "mlir/Pass/Pass.h"

namespace mlir::moe {

#define GEN_PASS_DECL
#include "moe/CPU/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "moe/CPU/Passes.h.inc"

} // namespace mlir::moe

#endif // MOE_CPU_PASSES_H
