// RUN: moe-opt %s --moe-lower-trace | FileCheck %s

// Programs may not read the counter of cycles.
//
// CHECK-LABEL: func @stage(
// CHECK-NOT:     readcyclecounter
// CHECK:         llvm.inline_asm has_side_effects "mrs $0, cntvct_el0", "=r"
// CHECK-LABEL: func private @moe.record(
// CHECK-NEXT:    llvm.inline_asm has_side_effects "mrs $0, cntvct_el0", "=r"
module attributes {llvm.target_triple = "aarch64-unknown-linux-gnu"} {
  func.func @stage(%call: !llvm.ptr, %x: memref<?xf32>, %y: memref<?xf32>) {
    memref.copy %x, %y : memref<?xf32> to memref<?xf32> loc("copy")
    return
  }
}
