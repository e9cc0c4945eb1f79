//===- Cost.h - What products and attention cost ----------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_CPU_COST_H
#define MOE_CPU_COST_H

#include "moe/IR/MoE.h"

namespace mlir::moe {

struct Cost {
  /// Of f32 or integers; a multiplication and an addition are two.
  double operations = 0;
  /// Between memory and core.
  double bytes = 0;
  /// Of a product: rows that each of its groups has.
  double rows = 0;
};

/// What a grouped_matmul, an expert_ffn or an attention on tensors costs for
/// so many tokens. Routing is even and random; attention is of one sequence
/// with 512 positions in the cache before.
Cost getCost(Operation *op, double tokens);

} // namespace mlir::moe

#endif // MOE_CPU_COST_H
