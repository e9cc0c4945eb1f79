//===- Passes.td - From the fused form down, whatever the target *- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LOWER_PASSES
#define MOE_LOWER_PASSES

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// On tensors
//===----------------------------------------------------------------------===//

def LowerAssignmentPass : Pass<"moe-lower-assignment", "::mlir::func::FuncOp"> {
  let summary = "Writes `limit` and `assign` as loops on tensors";
  let description = [{
    `assign` is a counting sort. `limit` counts the slots of each expert in the order in which they are admitted: O(Tk).
    By priorities, each slot is ranked among those of its expert: O(n^2) for an expert with n slots.

    Precondition: form *graph*. Postcondition: neither op is left. Contract: B.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::tensor::TensorDialect"];
}

def LowerCompositesPass : Pass<"moe-lower-composites", "::mlir::func::FuncOp"> {
  let summary = "Writes `route` and unpacked `expert_ffn` as the core ops they are composed of";
  let description = [{
    The inverse of the fuse passes. `moe.route` becomes `score`, `select`, `weigh`; `moe.expert_ffn` becomes `assign`,
    `dispatch`, `grouped_matmul` (gate, up), `glu`, `grouped_matmul` (down) and `combine`. A packed `expert_ffn` is left
    to the target's kernels.

    Precondition: form *graph* or *fused*. Contract: B (the same arithmetic in the same order).
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
  let options = [
    Option<"keepRoutes", "keep-routes", "bool", "false", "leave `moe.route` to the target's kernel">];
}

def LowerEntriesPass : Pass<"moe-lower-entries", "::mlir::ModuleOp"> {
  let summary = "Gives every public function the signature of a package's entry: memrefs only";
  let description = [{
    A tensor argument becomes a memref that is read in place; a result becomes a trailing memref argument that is
    written in place, so that results are the caller's memory and nothing is returned. State arguments stay as they
    are. The module attribute `moe.functions` lists every entry with the name, kind (`input`, `state`, `output`),
    element type and extents of each argument, as `moe.name`, `moe.dims` and `moe.state` say them; where `moe.dims` is
    absent, a dynamic extent of a result must be provably equal to one of an argument.

    Precondition: public functions have ranked tensor or memref arguments and ranked tensor results and are not called
    within the module. Postcondition: they have memref arguments only. Contract: B.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect", "::mlir::LLVM::LLVMDialect"];
}

def LowerExpertsPass : Pass<"moe-lower-experts", "::mlir::func::FuncOp"> {
  let summary = "Writes what experts do, `dispatch` to `combine`, as loops and linalg on tensors";
  let description = [{
    `dispatch`, `grouped_matmul`, `group_add`, `glu`, `experts`, `combine`, `soft_dispatch` and `soft_combine`: each op
    alone, scalar and in the order that its description gives: the oracle for the target's fused kernels. Packed
    `grouped_matmul` is left to them.

    Precondition: form *graph*. Postcondition: none of these ops is left, packed products apart. Contract: B with respect to
    the order of additions in the ops' descriptions.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::tensor::TensorDialect"];
}

def LowerNamesPass : Pass<"moe-lower-names", "::mlir::func::FuncOp"> {
  let summary = "Says in the location of each op what it computes";
  let description = [{
    The location of each op of `moe` and `linalg` becomes a `NameLoc` with the function's name, the op's and those of the
    parameters among its operands, e.g. `"layer0: expert_ffn @layer0.up @layer0.down"`. Locations that have a name
    keep it. Passes hand locations on, so the loops that an op becomes have its name.

    Precondition: none; before inlining, functions tell layers apart. Contract: B.
  }];
}

def LowerRoutingPass : Pass<"moe-lower-routing", "::mlir::func::FuncOp"> {
  let summary = "Writes `score`, `select` and `weigh` as loops and linalg on tensors";
  let description = [{
    `select` finds the k largest keys one after the other, each as the largest below the one before, in the total order
    of (key, lower index first) in which NaN is least: O(kE) per token. Its bias and groups become other keys before,
    its bounds drop slots after.

    Precondition: form *graph*. Postcondition: none of these ops is left. Contract: B with respect to the order of
    additions in the ops' descriptions.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::tensor::TensorDialect"];
}

def LowerTrainingPass : Pass<"moe-lower-training", "::mlir::func::FuncOp"> {
  let summary = "Writes `aux_loss`, `bias_update` and `noise` as loops and linalg on tensors";
  let description = [{
    Sums run in f32 over tokens ascending. The words of `noise` are computed with 32-bit multiplications that keep both
    halves.

    Precondition: form *graph*. Postcondition: none of these ops is left. Contract: B with respect to the formulas in the
    ops' descriptions.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::tensor::TensorDialect"];
}

//===----------------------------------------------------------------------===//
// On buffers
//===----------------------------------------------------------------------===//

def LowerAttentionPass : Pass<"moe-lower-attention", "::mlir::func::FuncOp"> {
  let summary = "Writes `attention` and `cache_update` as scalar loops";
  let description = [{
    One query row and head at a time: the maximum of the visible scores, then their exponentials, sum and weighted sum
    of values, positions ascending. Scores are computed twice, so that no scratch depends on the context's length. The
    oracle for the target's kernels.

    Precondition: form *buffers*. Postcondition: neither op is left. Contract: R.
  }];
  let dependentDialects = ["::mlir::math::MathDialect", "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
}

def LowerCallPass : Pass<"moe-lower-call", "::mlir::ModuleOp"> {
  let summary = "Hands every entry the call it serves and reads parameters through it";
  let description = [{
    Entries get a first argument `%call`, a pointer to the `moe_invocation` of `moe-runtime/module_abi.h`.
    `moe.load_parameter` becomes a view of the call's table of parameters. The module attribute `moe.parameters` lists
    the table: every parameter that is loaded, in the order of the module.

    Precondition: form *buffers*; parameters are loaded only in public functions. Contract: B.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect"];
}

def LowerCopiesPass : Pass<"moe-lower-copies", "::mlir::func::FuncOp"> {
  let summary = "Writes copies of or to a part of a buffer as linalg";
  let description = [{
    A `memref.copy` whose source or target is not laid out like a whole buffer becomes a `linalg.generic` that yields
    its input. The target's lowering would call a function of MLIR's runtime library, which no package has; other
    copies are one `memcpy`.

    Precondition: form *buffers*. Postcondition: both sides of every `memref.copy` have the identity layout.
    Contract: B.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
}

def LowerTracePass : Pass<"moe-lower-trace", "::mlir::ModuleOp"> {
  let summary = "Makes entries record when each of their stages begins and ends";
  let description = [{
    A *stage* is an op with a region, or a copy, whose location has a name and that stands in no other stage. When it
    has run, its name, the iteration of the loop around it, and the CPU's counter before and after it are added to the
    `moe_trace` of the call, unless that is null. The module attribute `moe.stages` lists the names.

    Precondition: `--moe-lower-call` and `--moe-lower-workspace` have run; parallel loops are not yet lowered. Contract: B.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numStages", "stages", "Number of names of stages">];
}

def LowerWorkspacePass : Pass<"moe-lower-workspace", "::mlir::ModuleOp"> {
  let summary = "Places every buffer of an entry in the caller's workspace";
  let description = [{
    After `--moe-lower-call`. Sizes must follow from the extents of the entry's arguments, so that they can be computed
    before the call. Buffers whose dynamic extents are the same and whose lifetimes do not overlap share memory. For
    each entry `F` a function `F.workspace` of the same arguments is added, which returns the number of bytes and reads
    extents only.

    Precondition: no calls are left in the entry, and no `memref.alloc` stands in a parallel loop. Postcondition: no
    `memref.alloc` is left. Contract: B.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect"];
  let statistics = [
    Statistic<"numBuffers", "buffers", "Number of buffers placed">,
    Statistic<"numSlots", "slots", "Number of disjoint places they share">,
  ];
}

#endif // MOE_LOWER_PASSES
