//===- Describe.h - What an op is, for people -------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_DESCRIBE_H
#define MOE_IR_DESCRIBE_H

#include "moe/IR/MoE.h"

namespace mlir::moe {

/// The op's name and those of the parameters among its operands:
/// `expert_ffn @layer0.up @layer0.down`.
std::string describe(Operation *op);

} // namespace mlir::moe

#endif // MOE_IR_DESCRIBE_H
