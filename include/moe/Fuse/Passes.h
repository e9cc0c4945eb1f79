//===- Passes.h - From the graph form to the fused form ---------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_FUSE_PASSES_H
#define MOE_FUSE_PASSES_H

#include "moe/IR/MoE.h"

#include "mlir/Pass/Pass.h"

namespace mlir::moe {

#define GEN_PASS_DECL
#include "moe/Fuse/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "moe/Fuse/Passes.h.inc"

} // namespace mlir::moe

#endif // MOE_FUSE_PASSES_H
