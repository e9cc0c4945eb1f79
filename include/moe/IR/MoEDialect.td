//===- MoEDialect.td - The moe dialect -------------------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_MOEDIALECT_TD
#define MOE_IR_MOEDIALECT_TD

include "mlir/IR/OpBase.td"

def MoE_Dialect : Dialect {
  let name = "moe";
  let cppNamespace = "::mlir::moe";
  let summary = "Mixture-of-Experts models: routing, experts, ragged attention, parameters";
  let description = [{
    The dialect says *what* is routed to whom; passes decide *how*.

    Letters in shapes: `T` tokens of all sequences, concatenated; `E` experts; `k` experts per token (*slots*);
    `N = T*k` always; `H` hidden size; `I` intermediate size; `B` sequences. All indices are `i32`; `-1` in an index
    means "no expert". Rows past the last offset are unspecified and never read.

    The IR passes through five forms, each checked by `--moe-verify-form`: *graph* (core ops on tensors), *fused*
    (`route`, `expert_ffn` in destination style), *buffers* (the same ops on memrefs), *loops* and *target*.

    State is a memref in every form: it is owned by the caller and updated in place.

    Discardable attributes: on a module, `moe.model` (a dictionary that the package's manifest repeats); on arguments
    and results of a public function, `moe.name`, `moe.dims` (an array of integers and symbol names; equal names are
    equal extents) and `moe.state`. Of a function that is compiled for one ISA level, `moe.isa`; of its module, `moe.levels`,
    an array of `{isa, features}` in ascending order.
  }];
  let useDefaultAttributePrinterParser = 1;
  let extraClassDeclaration = "void registerAttributes();";
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect", "::mlir::tensor::TensorDialect"];
}

#endif // MOE_IR_MOEDIALECT_TD
