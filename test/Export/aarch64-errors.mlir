// RUN: not moe-compile %s --emit=shared -o %t.so 2>&1 | FileCheck %s

// CHECK:     undefined symbol: mystery
// CHECK-NOT: undefined symbol
module attributes {
  llvm.target_triple = "aarch64-unknown-linux-gnu",
  moe.functions = [{name = "f", arguments = []}],
  moe.levels = [{isa = "neon", features = ["neon"]}]
} {
  llvm.func @mystery(f32) -> f32
  llvm.func @expf(f32) -> f32
  llvm.func @_mlir_ciface_f.neon(%call: !llvm.ptr) {
    %x = llvm.load volatile %call : !llvm.ptr -> f32
    %e = llvm.call @expf(%x) : (f32) -> f32
    %y = llvm.call @mystery(%e) : (f32) -> f32
    llvm.store volatile %y, %call : f32, !llvm.ptr
    llvm.return
  }
  llvm.func @_mlir_ciface_f.neon.workspace(%call: !llvm.ptr) -> i64 {
    %bytes = llvm.mlir.constant(0 : i64) : i64
    llvm.return %bytes : i64
  }
}
