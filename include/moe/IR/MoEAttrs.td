//===- MoEAttrs.td - Attributes of the moe dialect -------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_MOEATTRS_TD
#define MOE_IR_MOEATTRS_TD

include "mlir/IR/EnumAttr.td"
include "moe/IR/MoEDialect.td"

class MoE_Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::mlir::moe";
}

/// How logits become scores. Softmax is over the experts of one token.
def MoE_ScoreFn : MoE_Enum<"ScoreFn", "function from logits to scores",
    [I32EnumAttrCase<"Softmax", 0, "softmax">]>;

/// How the weights of a token's slots are normalised.
def MoE_Norm : MoE_Enum<"Norm", "normalisation of slot weights",
    [I32EnumAttrCase<"None", 0, "none">, I32EnumAttrCase<"Sum", 1, "sum">]>;

/// The gated activation of an expert: `swiglu` is silu(gate) * up.
def MoE_GluKind : MoE_Enum<"GluKind", "gated activation",
    [I32EnumAttrCase<"SwiGLU", 0, "swiglu">]>;

#endif // MOE_IR_MOEATTRS_TD
