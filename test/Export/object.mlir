// RUN: moe-compile %s --emit=object -o %t.o
// RUN: llvm-nm %t.o | FileCheck %s --check-prefix=SYMBOLS
// RUN: llvm-objdump -d --no-show-raw-insn %t.o | FileCheck %s

// Only the tables are visible.
//
// SYMBOLS-NOT: {{[A-Z]}} {{.*}}_mlir_ciface
// SYMBOLS:     {{[A-TV-Z]}} moe_module_info

module attributes {
  llvm.target_triple = "x86_64-unknown-linux-gnu",
  moe.functions = [{name = "f", arguments = [
    {name = "x", kind = "input", dtype = "f32", shape = []}]}],
  moe.levels = [{isa = "v3", features = ["fma"]}]
} {
  // A product and a sum stay two roundings, though the level has FMA; only what
  // asks for a contraction is one.
  //
  // CHECK:     <_mlir_ciface_f.v3>:
  // CHECK:       vmulss
  // CHECK-NEXT:  vaddss
  // CHECK:       vfmadd
  llvm.func @_mlir_ciface_f.v3(%call: !llvm.ptr, %x: !llvm.ptr)
      attributes {target_cpu = "x86-64-v3", target_features = #llvm.target_features<["+fma"]>} {
    %a = llvm.load volatile %x : !llvm.ptr -> f32
    %b = llvm.load volatile %x : !llvm.ptr -> f32
    %c = llvm.load volatile %x : !llvm.ptr -> f32
    %product = llvm.fmul %a, %b : f32
    %sum = llvm.fadd %product, %c : f32
    llvm.store volatile %sum, %x : f32, !llvm.ptr
    %fused = llvm.intr.fma(%a, %b, %c) : (f32, f32, f32) -> f32
    llvm.store volatile %fused, %x : f32, !llvm.ptr
    llvm.return
  }
  llvm.func @_mlir_ciface_f.v3.workspace(%call: !llvm.ptr, %x: !llvm.ptr) -> i64 {
    %bytes = llvm.mlir.constant(0 : i64) : i64
    llvm.return %bytes : i64
  }
}
