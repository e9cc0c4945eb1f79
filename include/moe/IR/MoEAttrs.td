//===- MoEAttrs.td - Attributes of the moe dialect -------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_MOEATTRS_TD
#define MOE_IR_MOEATTRS_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "moe/IR/MoEDialect.td"

class MoE_Enum<string name, string summary, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::mlir::moe";
}

/// How logits become scores.
def MoE_ScoreFn : MoE_Enum<"ScoreFn", "function from logits to scores", [
    I32EnumAttrCase<"Softmax", 0, "softmax">, I32EnumAttrCase<"Sigmoid", 1, "sigmoid">,
    I32EnumAttrCase<"SqrtSoftplus", 2, "sqrtsoftplus">, I32EnumAttrCase<"Relu", 3, "relu">]>;

/// How the weights of a token's slots are normalised.
def MoE_Norm : MoE_Enum<"Norm", "normalisation of slot weights", [
    I32EnumAttrCase<"None", 0, "none">, I32EnumAttrCase<"Sum", 1, "sum">, I32EnumAttrCase<"L2", 2, "l2">]>;

/// The key that experts outside the kept groups get.
def MoE_Fill : MoE_Enum<"Fill", "key of an expert whose group is not kept", [
    I32EnumAttrCase<"NegInf", 0, "neg_inf">, I32EnumAttrCase<"Zero", 1, "zero">]>;

/// How a capacity that is a fraction of the tokens becomes an integer; halves go to the even one.
def MoE_Rounding : MoE_Enum<"Rounding", "rounding of a capacity", [
    I32EnumAttrCase<"Floor", 0, "floor">, I32EnumAttrCase<"Ceil", 1, "ceil">,
    I32EnumAttrCase<"Nearest", 2, "nearest">]>;

/// The activation of a network: those with a gate first.
def MoE_GluKind : MoE_Enum<"GluKind", "activation", [
    I32EnumAttrCase<"SwiGLU", 0, "swiglu">, I32EnumAttrCase<"GeGLU", 1, "geglu">,
    I32EnumAttrCase<"GeGLUTanh", 2, "geglu_tanh">, I32EnumAttrCase<"ReGLU", 3, "reglu">,
    I32EnumAttrCase<"SiTU", 4, "situ">, I32EnumAttrCase<"SiLU", 5, "silu">, I32EnumAttrCase<"GELU", 6, "gelu">,
    I32EnumAttrCase<"GELUTanh", 7, "gelu_tanh">, I32EnumAttrCase<"ReLU", 8, "relu">,
    I32EnumAttrCase<"ReLU2", 9, "relu2">]>;

/// A loss that keeps the experts of a layer busy.
def MoE_LossKind : MoE_Enum<"LossKind", "auxiliary loss", [
    I32EnumAttrCase<"Balance", 0, "balance">, I32EnumAttrCase<"Z", 1, "z">, I32EnumAttrCase<"CV2", 2, "cv2">]>;

/// How the bias of the selection follows the load.
def MoE_UpdateKind : MoE_Enum<"UpdateKind", "update of a selection bias", [
    I32EnumAttrCase<"Sign", 0, "sign">, I32EnumAttrCase<"Proportional", 1, "proportional">]>;

/// The distribution of random numbers.
def MoE_Distribution : MoE_Enum<"Distribution", "distribution of random numbers", [
    I32EnumAttrCase<"Uniform", 0, "uniform">, I32EnumAttrCase<"Normal", 1, "normal">,
    I32EnumAttrCase<"Gumbel", 2, "gumbel">]>;

/// How a packed weight is stored.
def MoE_PackFormat : MoE_Enum<"PackFormat", "format of packed weights", [
    I32EnumAttrCase<"F32", 0, "f32">, I32EnumAttrCase<"BF16", 1, "bf16">, I32EnumAttrCase<"F16", 2, "f16">,
    I32EnumAttrCase<"Int8", 3, "int8">, I32EnumAttrCase<"Q8_0", 4, "q8_0">, I32EnumAttrCase<"Q4_0", 5, "q4_0">,
    I32EnumAttrCase<"Mxfp4", 6, "mxfp4">]>;

/// What rows are rounded to before they are multiplied.
def MoE_Compute : MoE_Enum<"Compute", "type that rows are multiplied in", [
    I32EnumAttrCase<"F32", 0, "f32">, I32EnumAttrCase<"BF16", 1, "bf16">, I32EnumAttrCase<"Int8", 2, "int8">]>;

class MoE_Attr<string name, string attrMnemonic> : AttrDef<MoE_Dialect, name> {
  let mnemonic = attrMnemonic;
}

def MoE_GroupsAttr : MoE_Attr<"Groups", "groups"> {
  let summary = "selection among the experts of the best groups only";
  let description = [{
    `<8 keep 4 by 2 fill neg_inf>`: the experts stand in 8 groups of equal size, in order. A group's score is the sum of
    its 2 largest keys; keys of experts outside the 4 groups of largest score are replaced by `-inf` or, with
    `fill zero`, by 0, which a negative key is less than. DeepSeek-V2 (arXiv:2405.04434) sums 1 key, its maximum;
    DeepSeek-V3 (arXiv:2412.19437) sums 2.
  }];
  let parameters = (ins "int64_t":$count, "int64_t":$keep, "int64_t":$terms, EnumParameter<MoE_Fill>:$fill);
  let assemblyFormat = "`<` $count `keep` $keep `by` $terms `fill` $fill `>`";
}

def MoE_CapacityAttr : MoE_Attr<"Capacity", "capacity"> {
  let summary = "how many slots an expert accepts from one group of tokens";
  let description = [{
    `<64>` is a number. `<1.25 ceil min 4 multiple 4>` depends on the tokens T of the group and the experts E:
    `T * 1.25 / E`, computed in f64 in this order, rounded by `floor`, `ceil` or `nearest`, then at least `min` (default
    1), then rounded up to a multiple of `multiple` (default 1). The factor includes k where the published formula does.
  }];
  let parameters = (ins
    DefaultValuedParameter<"int64_t", "0">:$fixed, OptionalParameter<"::mlir::FloatAttr">:$factor,
    DefaultValuedParameter<"::mlir::moe::Rounding", "::mlir::moe::Rounding::Floor">:$rounding,
    DefaultValuedParameter<"int64_t", "1">:$min, DefaultValuedParameter<"int64_t", "1">:$multiple);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = "bool isFixed() const { return !getFactor(); }";
}

#endif // MOE_IR_MOEATTRS_TD
