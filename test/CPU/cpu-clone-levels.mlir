// RUN: moe-opt %s --moe-cpu-clone-levels=levels=v3,v4 | FileCheck %s
// RUN: moe-opt %s --moe-cpu-clone-levels=levels=v4 | FileCheck %s --check-prefix=V4
// RUN: not moe-opt %s --moe-cpu-clone-levels=levels=v5 2>&1 | FileCheck %s --check-prefix=V5
// RUN: not moe-opt %s --moe-cpu-clone-levels=levels=v3,neon 2>&1 | FileCheck %s --check-prefix=TWO
// RUN: moe-opt %s --moe-cpu-clone-levels=levels=neon | FileCheck %s --check-prefix=NEON

// CHECK:      module attributes {llvm.target_triple = "x86_64-unknown-linux-gnu", moe.levels = [
// CHECK-SAME:   {features = ["avx2", "bmi2", "f16c", "fma"], isa = "v3"},
// CHECK-SAME:   {features = ["avx2", "bmi2", "f16c", "fma", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"], isa = "v4"}]
// V5: error: expected an ISA level v3, v4, vnni, amx, amx_emulated or neon, got v5
// TWO: error: expected levels of one architecture, got v3 and neon

// NEON:      llvm.target_triple = "aarch64-unknown-linux-gnu"
// NEON:      func @forward.neon(
// NEON-SAME:   target_cpu = "generic", target_features = #llvm.target_features<["+neon"]>

// CHECK-LABEL: func @forward.v3(
// CHECK-SAME:    memref<?xf32> {moe.name = "x"}
// CHECK-SAME:    attributes {moe.isa = "v3", target_cpu = "x86-64-v3",
// CHECK-SAME:      target_features = #llvm.target_features<["+avx2", "+bmi2", "+f16c", "+fma"]>}
// CHECK-LABEL: func @forward.v4(
// CHECK-SAME:    attributes {moe.isa = "v4", target_cpu = "x86-64-v4"
// CHECK-NOT:   func @forward(
// V4-NOT:      func @forward.v3
func.func @forward(%x: memref<?xf32> {moe.name = "x"}) {
  return
}

// CHECK: func private @external()
func.func private @external()
