//===- Activations.h - Scores and activations as arithmetic -----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What `moe.score`, `moe.weigh` and `moe.glu` do to one element, on f32 or on
// vectors of them: lowerings of the ops alone and of composites call the same
// code.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_ACTIVATIONS_H
#define MOE_IR_ACTIVATIONS_H

#include "moe/IR/MoE.h"

namespace mlir::moe {

/// The score of a logit that does not depend on others: not softmax.
Value emitScore(ImplicitLocOpBuilder &b, ScoreFn fn, Value logit);

/// What `moe.weigh` divides by, from the sum of a token's weights, or of their
/// squares.
Value emitDivisor(ImplicitLocOpBuilder &b, Norm norm, FloatAttr plus,
                  FloatAttr atLeast, Value sum);

/// `moe.glu` of a gate and what it gates.
Value emitGlu(ImplicitLocOpBuilder &b, const GluClauses &clauses, Value gate,
              Value up);

} // namespace mlir::moe

#endif // MOE_IR_ACTIVATIONS_H
