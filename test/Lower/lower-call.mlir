// RUN: moe-opt %s --moe-lower-call | FileCheck %s

// The table has the parameters that are loaded, in the order of the module.
// CHECK: module attributes {moe.parameters = [@up, @embed]}
moe.parameter @unused : tensor<4xf32> from "unused"
moe.parameter @up : tensor<4x16x96x160xbf16> from "layers.{0}.experts.{1}.up"
moe.parameter @embed : tensor<259x160xbf16> from "embed"

// CHECK-LABEL: func @whole(
// CHECK-SAME:    %[[CALL:[^:]*]]: !llvm.ptr
func.func @whole(%x: memref<?xbf16>, %i: index) {
  // CHECK: %[[FIELD:.*]] = llvm.getelementptr %[[CALL]][0] : (!llvm.ptr) -> !llvm.ptr, i64
  // CHECK: %[[TABLE:.*]] = llvm.load %[[FIELD]]
  // CHECK: %[[SLOT:.*]] = llvm.getelementptr %[[TABLE]][1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  // CHECK: llvm.load %[[SLOT]]
  // CHECK: %[[VIEW:.*]] = builtin.unrealized_conversion_cast %{{.*}} to memref<259x160xbf16>
  // CHECK: memref.load %[[VIEW]]
  %embed = moe.load_parameter @embed : memref<259x160xbf16>
  %value = memref.load %embed[%i, %i] : memref<259x160xbf16>
  memref.store %value, %x[%i] : memref<?xbf16>
  return
}

// A slice starts (l * 16 + e) * 96 * 160 elements after the parameter.
// CHECK-LABEL: func @slice(
// CHECK-SAME:    %{{.*}}: !llvm.ptr, %{{.*}}: memref<?xbf16>, %[[L:[^:]*]]: index, %[[E:[^:]*]]: index
func.func @slice(%x: memref<?xbf16>, %l: index, %e: index) {
  // CHECK: %[[SLOT:.*]] = llvm.getelementptr %{{.*}}[0] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  // CHECK: %[[BASE:.*]] = llvm.load %[[SLOT]]
  // CHECK: %[[LAYER:.*]] = arith.addi %{{.*}}, %[[L]]
  // CHECK: %[[EXPERTS:.*]] = arith.constant 16
  // CHECK: %[[LAYERS:.*]] = arith.muli %[[LAYER]], %[[EXPERTS]]
  // CHECK: %[[EXPERT:.*]] = arith.addi %[[LAYERS]], %[[E]]
  // CHECK: %[[SIZE:.*]] = arith.constant 15360
  // CHECK: %[[OFFSET:.*]] = arith.muli %[[EXPERT]], %[[SIZE]]
  // CHECK: %[[ELEMENTS:.*]] = arith.index_cast %[[OFFSET]]
  // CHECK: llvm.getelementptr %[[BASE]][%[[ELEMENTS]]] : (!llvm.ptr, i64) -> !llvm.ptr, bf16
  %up = moe.load_parameter @up[%l, %e] : memref<96x160xbf16>
  %value = memref.load %up[%l, %e] : memref<96x160xbf16>
  memref.store %value, %x[%l] : memref<?xbf16>
  return
}

// CHECK-LABEL: func private @helper()
func.func private @helper()
