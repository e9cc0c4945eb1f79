//===- Passes.td - The edges between the forms of the IR -------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_VERIFY_PASSES
#define MOE_VERIFY_PASSES

include "mlir/Pass/PassBase.td"

def VerifyFormPass : Pass<"moe-verify-form", "::mlir::ModuleOp"> {
  let summary = "Reports every op that does not belong to a form of the IR";
  let description = [{
    Stands at each edge between forms in the default pipelines, so that a pass that leaves something behind is named by
    the op that it left, with its location.

    | form | has |
    |---|---|
    | `graph` | moe's core ops, attention and cache updates on tensors; no composite, no packed weight |
    | `fused` | the same and composites, still on tensors |
    | `buffers` | no tensor; functions return nothing; no parameter is copied |
    | `loops` | of the moe ops `parameter` and `load_parameter` only, no linalg |
    | `target` | the llvm and omp dialects, and `moe.parameter` |

    Changes nothing.
  }];
  let options = [Option<
      "form", "form", "::mlir::moe::Form", /*default=*/"::mlir::moe::Form::Graph", "the form to check",
      [{::llvm::cl::values(
          clEnumValN(::mlir::moe::Form::Graph, "graph", "core ops on tensors"),
          clEnumValN(::mlir::moe::Form::Fused, "fused", "composites on tensors"),
          clEnumValN(::mlir::moe::Form::Buffers, "buffers", "the same ops on memrefs"),
          clEnumValN(::mlir::moe::Form::Loops, "loops", "loops and vectors"),
          clEnumValN(::mlir::moe::Form::Target, "target", "llvm and omp"))}]>];
}

#endif // MOE_VERIFY_PASSES
