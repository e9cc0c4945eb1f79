//===- Passes.td - Lowering for CPUs ---------------------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_CPU_PASSES_TD
#define MOE_CPU_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// On the fused form
//===----------------------------------------------------------------------===//

def CpuExplainPass : Pass<"moe-cpu-explain", "::mlir::ModuleOp"> {
  let summary = "print what each product and attention costs, what bounds it, and its kernel";
  let description = [{
    For each level, each function with products or attentions, and each number of tokens, on the standard output: bytes
    of memory, floating-point operations, whether memory or arithmetic bounds the time, the kernel, and the time that
    the model of the target (`dlti.target_system_spec` of the module) predicts (lib/CPU/TargetModel.h). `xN` behind a function's name: its parameters are stacks
    of N layers.

    Routing is counted as even and random, so that T tokens choose `E (1 - (1 - k/E)^T)` of E experts; attention as of
    one sequence with 512 positions in the cache before.

    Precondition: form *fused*. Postcondition: nothing changes. Contract: B.
  }];
  let options = [
    ListOption<"levels", "levels", "std::string", "ISA levels">,
    ListOption<"tokens", "tokens", "int64_t", "numbers of tokens of a call; none means 1, 16, 256 and 1024">,
    Option<"threads", "threads", "int64_t", "1", "number of threads that share the work">];
}

def CpuPackWeightsPass : Pass<"moe-cpu-pack-weights", "::mlir::ModuleOp"> {
  let summary = "let matrix products read packed parameters";
  let description = [{
    ```mlir
    moe.parameter @w : tensor<4x64x160xbf16> from "layers.{0}.weight"
    func.func @f(%l: index, %x: tensor<?x160xf32>, %init: tensor<?x64xf32>) -> tensor<?x64xf32> {
      %w = moe.load_parameter @w[%l] : tensor<64x160xbf16>
      %y = moe.grouped_matmul ins(%x, %w : tensor<?x160xf32>, tensor<64x160xbf16>)
             outs(%init : tensor<?x64xf32>) -> tensor<?x64xf32>
    ```
    becomes
    ```mlir
    moe.parameter @w : tensor<4x64x160xbf16> from "layers.{0}.weight"
    moe.parameter @w.packed : tensor<4x2x5x2x16x16x2xbf16> pack of [@w]
    func.func @f(%l: index, %x: tensor<?x160xf32>, %init: tensor<?x64xf32>) -> tensor<?x64xf32> {
      %w = moe.load_parameter @w.packed[%l] : tensor<2x5x2x16x16x2xbf16>
      %y = moe.grouped_matmul packed bf16 ins(%x, %w : tensor<?x160xf32>, tensor<2x5x2x16x16x2xbf16>)
             outs(%init : tensor<?x64xf32>) -> tensor<?x64xf32>
    ```
    Gate and up of a `moe.expert_ffn` are interleaved in one parameter. With `format`, weights are packed in that format;
    without, in the one of their own type, as are those whose product experts are chosen by: routers lose most by rounding
    and have few weights.

    Precondition: form *fused*. Postcondition: each unpacked product that remains carries a remark with the reason.
    Sources stay, because they are the recipe of the packed parameter; one packed parameter serves all its readers.

    Declines weights that are no `moe.load_parameter`, and gate and up that are loaded at different indices or from
    parameters of different types.

    Contract class B without `format`: packing moves elements and pads with zeros, which no product reads into an output.
    Contract class E with `format`: a remark on each packed parameter that is not exact gives the bound.
  }];
  let dependentDialects = ["::mlir::moe::MoEDialect"];
  let options = [
    Option<"format", "format", "std::string", /*default=*/"",
           "format of packed weights: f32, bf16, f16, int8, q8_0, q4_0 or mxfp4; without, that of their own type">];
  let statistics = [
    Statistic<"numPacked", "num-packed", "products that read packed weights now">,
    Statistic<"numDeclined", "num-declined", "products left alone">];
}

def CpuSetComputePass : Pass<"moe-cpu-set-compute"> {
  let summary = "let packed products round their rows to a type";
  let description = [{
    Sets the clause `compute` of each packed `moe.grouped_matmul` and `moe.expert_ffn`, which says what their rows are
    rounded to. The module attribute `moe.compute` tells the package.

    Precondition: form *fused*, after `--moe-cpu-pack-weights`. Postcondition: each product whose rows stay f32 carries a
    remark with the reason: its format has no such kernel, or its results choose experts.

    Contract class E: an element of a row is off by at most 2^-9 of itself with `bf16`, by 1/254 of the largest of the
    row, or of 32 elements of it, with `int8`.
  }];
  let options = [
    Option<"compute", "type", "::mlir::moe::Compute", "::mlir::moe::Compute::F32", "f32, bf16 or int8",
           "::llvm::cl::values(clEnumValN(::mlir::moe::Compute::F32, \"f32\", \"as they are\"), "
           "clEnumValN(::mlir::moe::Compute::BF16, \"bf16\", \"to nearest even\"), "
           "clEnumValN(::mlir::moe::Compute::Int8, \"int8\", \"to integers with scales\"))">];
  let statistics = [
    Statistic<"numSet", "num-set", "products that round their rows now">,
    Statistic<"numDeclined", "num-declined", "products left alone">];
}

//===----------------------------------------------------------------------===//
// On buffers
//===----------------------------------------------------------------------===//

def CpuCloneLevelsPass : Pass<"moe-cpu-clone-levels", "::mlir::ModuleOp"> {
  let summary = "clone each entry function once per ISA level";
  let description = [{
    ```mlir
    func.func @forward(%x: memref<?xf32>) { ... }
    ```
    becomes, with two levels,
    ```mlir
    module attributes {llvm.target_triple = "x86_64-unknown-linux-gnu", moe.levels = [
        {features = ["avx2", "bmi2", "f16c", "fma"], isa = "v3"},
        {features = ["avx2", ..., "avx512vl"], isa = "v4"}
    ]} {
      func.func @forward.v3(%x: memref<?xf32>) attributes {moe.isa = "v3", target_cpu = "x86-64-v3", ...} { ... }
      func.func @forward.v4(%x: memref<?xf32>) attributes {moe.isa = "v4", target_cpu = "x86-64-v4", ...} { ... }
    ```
    Every later choice (vector width, tile) reads `moe.isa` of the enclosing function; `target_cpu` and
    `target_features` tell LLVM.

    Precondition: form *buffers*; calls are inlined. Postcondition: each function with a body has a level.

    Fails where a call remains, because its callee would have no level, on an unknown level, and on levels of different
    architectures.

    Contract class B: a clone computes what its original computes.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
  let options = [
    ListOption<"levels", "levels", "std::string", "ISA levels in ascending order, of v3 (AVX2), v4 (AVX-512), vnni (with products of bytes), amx, "
           "and amx_emulated, its schedule with the features of v3; or neon (AArch64)">];
  let statistics = [
    Statistic<"numClones", "num-clones", "functions cloned">];
}

class CpuLoweringPass<string name> : Pass<name> {
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}

def CpuLowerAttentionPass : CpuLoweringPass<"moe-cpu-lower-attention"> {
  let summary = "make parallel loops over vectors of moe.attention and moe.cache_update";
  let description = [{
    In one `scf.parallel`, threads take items of attention, a key/value head and a run of rows each, if what they see is
    worth it. An item walks blocks of 32 keys at absolute positions, ascending, with a running softmax for each of its
    queries; the query heads of a key/value head share what is loaded of the caches, up to 16 of them. While it uses a block, it
    prefetches the next one.
    `moe.cache_update` copies rows, in parallel if there are many.

    Precondition: form *buffers*, functions with `moe.isa`. Postcondition: neither op. Scratch is `memref.alloca` in the
    parallel loop, of a static size.

    Fails where the last dimension of a buffer has a stride other than 1.

    Contract class R, and batch-invariant: a row's bits do not depend on the rows beside it nor on where a sequence is
    cut into calls. Nothing outside of what a row sees is loaded into its result, so that caches may hold anything there.
    `math.exp` and `math.tanh` remain, of vectors.
  }];
}

def CpuLowerExpertFfnPass : CpuLoweringPass<"moe-cpu-lower-expert-ffn"> {
  let summary = "make parallel loops over panel kernels of packed moe.expert_ffn";
  let description = [{
    Sorts the slots by expert, packs the rows of each expert in tiles, multiplies them with gate and up and activates,
    multiplies with down, and adds the rows of each token in slot order. All but the sort is one `scf.parallel` over
    threads, which take work items one by one from a list; an item waits for those that it needs, all earlier ones.

    Precondition: form *buffers*, functions with `moe.isa`. Postcondition: no packed `moe.expert_ffn`. Buffers are
    `memref.alloc` whose sizes follow from the op's extents, beside the op.

    Contract class R, and batch-invariant: a row's bits depend on nothing but the row, because each sum has one
    accumulator over the whole range in ascending order, and slots are added in order.
  }];
}

def CpuLowerGroupedMatmulPass : CpuLoweringPass<"moe-cpu-lower-grouped-matmul"> {
  let summary = "make parallel loops over panel kernels of packed moe.grouped_matmul";
  let description = [{
    Packs the rows in tiles and multiplies blocks of rows with chunks of columns, each step one `scf.parallel`.

    Precondition: form *buffers*, functions with `moe.isa`. Postcondition: no packed `moe.grouped_matmul`. Buffers are
    `memref.alloc` whose sizes follow from the op's extents, beside the op.

    Contract class R, and batch-invariant, as `--moe-cpu-lower-expert-ffn`.
  }];
}

def CpuVectorizePass : Pass<"moe-cpu-vectorize", "::mlir::func::FuncOp"> {
  let summary = "write row-wise linalg ops as loops around vector code";
  let description = [{
    ```mlir
    linalg.generic {indexing_maps = [(n, d) -> (n, d), (n, d) -> (n), (n, d) -> (n, d)], ...}
        ins(%x, %scale : memref<?x160xf32>, memref<?xf32>) outs(%y : memref<?x160xf32>) { ... arith.mulf ... }
    ```
    becomes
    ```mlir
    scf.for %n = ... { // or scf.parallel, where there are many rows
      scf.for %d = %c0 to %c160 step %c16 {
        %v = vector.load %x[%n, %d] : memref<?x160xf32>, vector<16xf32>
        %s = memref.load %scale[%n] : memref<?xf32>
        ... arith.mulf ... : vector<16xf32>
        vector.store ...
    ```
    The rest of a row is masked. Gathers of rows read vectors. A sum over the innermost dimension keeps one partial sum
    per lane and adds the lanes in a fixed tree: its bits depend on the extent and the level only, never on the number of
    rows or threads.

    Precondition: form *buffers*, after `--moe-cpu-clone-levels`. Declines ops whose innermost extent is dynamic or
    whose operands are not contiguous in it; they stay for `--convert-linalg-to-loops`.

    Contract class R: sums are reassociated.
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
  let statistics = [
    Statistic<"numVectorized", "num-vectorized", "linalg ops vectorised">,
    Statistic<"numDeclined", "num-declined", "linalg ops left alone">];
}

def CpuLowerRoutePass : CpuLoweringPass<"moe-cpu-lower-route"> {
  let summary = "make vector code of moe.route, parallel over tokens";
  let description = [{
    Scores a register of experts at a time; top-k, of groups and of experts, by repeated search for the largest key, the
    lowest index first. Keys are the numbers' bits, arranged so that they order as integers.

    Precondition: form *buffers*, functions with `moe.isa`. Postcondition: no `moe.route` on buffers.

    Contract class R, for the sum of a softmax has another order, and batch-invariant: a token's bits depend on nothing
    but its logits.
  }];
}

//===----------------------------------------------------------------------===//
// On loops
//===----------------------------------------------------------------------===//

def CpuExpandMathPass : Pass<"moe-cpu-expand-math"> {
  let summary = "compute math.exp, math.erf and math.tanh of f32 with fused multiply-adds instead of calls";
  let description = [{
    LLVM calls `expf`, `erff` or `tanhf` once per element of a vector. Here `math.exp` of an f32 or a vector of f32
    becomes 20 vector operations: reduction by multiples of ln 2, a polynomial of degree 6, and two factors that scale it.
    `math.erf` and `math.tanh` become MLIR's approximations by quotients of polynomials.

    Postcondition: no `math.exp`, `math.erf` and `math.tanh` of f32.

    Contract class E. `exp`: within 1 unit in the last place, denormal results too; 0 below them; infinity above the
    largest number. `erf`, `tanh`: within 5 units. NaN of NaN. The same bits for a scalar and for vectors of any width.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::vector::VectorDialect"];
}

def CpuLowerParallelPass : Pass<"moe-cpu-lower-parallel", "::mlir::ModuleOp"> {
  let summary = "run an entry with parallel loops on the threads that the call asks for";
  let description = [{
    ```mlir
    func.func @forward.v3(%call: !llvm.ptr, ...) {
      ...
      scf.parallel (%i) = (%c0) to (%n) step (%c1) { ... }
      memref.store %x, %y[] : memref<f32>
      ...
    ```
    becomes
    ```mlir
    func.func private @forward.v3.team(%call: !llvm.ptr, ..., %leads: i1, %has_others: i1, %counters: memref<2xi64>) {
      ...
      scf.while (...) {                                           // of all threads
        %begin = memref.atomic_rmw addi %share, %counters[%turn] : (i64, memref<2xi64>) -> i64
        ... scf.for %i = %begin to min(%begin + %share, %n) { func.call @forward.v3.body0(%i, ...) }
      scf.if %accesses_conflict { omp.barrier }
      scf.if %leads { memref.store %x, %y[] : memref<f32> }
      ...
    }
    func.func @forward.v3(%call: !llvm.ptr, ...) {
      scf.if %threads_are_several {
        omp.parallel num_threads(%threads : i32) { func.call @forward.v3.team(%call, ..., %is_thread_0, %true, %counters) }
      } else {
        func.call @forward.v3.team(%call, ..., %true, %false, %counters)
    ```
    Threads start once for a call. Each runs the whole entry: loops and branches with parallel loops inside, and ops that
    write no memory, are done by all; other ops by the first thread. Iterations of a parallel loop that is worth it
    (`moe.work`) are shared: threads that are free take the next share, so that one that is late does not keep the others
    waiting. Threads wait for each other before an op where, since they last did, others have written what it reads or may
    still read what it writes. Arguments that are never written, and invariant loads, do not count.

    At a level without threads, such as `neon`, a loop becomes `scf.for` around calls of a function of its body.

    Precondition: after `--moe-lower-call`; functions with `moe.isa`; loops of one dimension, not nested; buffers outside
    of loops are in the workspace. Fails on others.

    Contract class B: what all threads do gives the same values on each; an iteration owns what it writes and does not read what another has left in a stack buffer, so
    that no result depends on who runs it.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::omp::OpenMPDialect", "::mlir::scf::SCFDialect"];
  let statistics = [
    Statistic<"numLoops", "num-loops", "parallel loops lowered">];
}

def CpuLowerPanelsPass : Pass<"moe-cpu-lower-panels", "::mlir::ModuleOp"> {
  let summary = "let each moe.panel_matmul call the kernels of its format, arithmetic and level";
  let description = [{
    ```mlir
    moe.panel_matmul f32 rows(...) depth 2048 panel(...) into(...) ahead(...)
    ```
    becomes
    ```mlir
    func.call @moe.panel.f32.f32.v4(%rows, %count, %k, %panel, %sums, %from, %line)
    ```
    of a private function that cuts the rows into tiles and k into blocks, so that what is read again and again stays in
    the caches, and calls `@moe.tile.f32.f32.<rows>.v4`, a loop over k with its sums in registers:
    ```mlir
    %next:2 = scf.for %k = ... iter_args(%s0 = ..., %s1 = ...) {
      %w0 = llvm.load %panel[...] : vector<16xf32>
      %w1 = llvm.load ...
      %a = vector.broadcast ...
      %t0 = vector.fma %a, %w0, %s0 : vector<16xf32>
      ...
    ```
    The length of a block follows from the target, `dlti.target_system_spec` of the module (include/moe/CPU/Target.h).
    Functions are made once for each level, format and arithmetic, whatever the shapes. Level `amx` multiplies bf16 in
    tile registers.

    Precondition: functions with `moe.isa`. Postcondition: no `moe.panel_matmul`.

    Contract class B: the accumulators and their order are those that the op defines.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
  let statistics = [
    Statistic<"numFunctions", "num-functions", "functions made">];
}

#endif // MOE_CPU_PASSES_TD
