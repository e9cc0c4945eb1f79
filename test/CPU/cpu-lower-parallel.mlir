// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: moe-opt %s --moe-cpu-lower-parallel --canonicalize | FileCheck %s

// A region runs with the member `threads` of the call; each thread has one part
// of the iterations, and one stack buffer.
// CHECK-LABEL: func @region(
// CHECK-SAME:    %[[CALL:.*]]: !llvm.ptr, %[[N:.*]]: index
// CHECK:         %[[MEMBER:.*]] = llvm.getelementptr %[[CALL]][2] : (!llvm.ptr) -> !llvm.ptr, i64
// CHECK:         %[[THREADS:.*]] = llvm.load %[[MEMBER]] : !llvm.ptr -> i64
// CHECK:         %[[I32:.*]] = llvm.trunc %[[THREADS]] : i64 to i32
// CHECK:         omp.parallel num_threads(%[[I32]] : i32) {
// CHECK:           %[[SCRATCH:.*]] = memref.alloca() : memref<4xf32>
// CHECK:           llvm.call @omp_get_thread_num
// CHECK:           llvm.call @omp_get_num_threads
// CHECK:           %[[FIRST:.*]] = arith.divui
// CHECK:           %[[LAST:.*]] = arith.divui
// CHECK:           scf.for %[[I:.*]] = %[[FIRST]] to %[[LAST]]
// CHECK:             memref.store %{{.*}}, %[[SCRATCH]]
// CHECK:           omp.terminator
func.func @region(%call: !llvm.ptr, %n: index, %x: memref<?xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %scratch = memref.alloca() : memref<4xf32>
    %v = memref.load %x[%i] : memref<?xf32>
    memref.store %v, %scratch[%c0] : memref<4xf32>
    %w = memref.load %scratch[%c0] : memref<4xf32>
    memref.store %w, %x[%i] : memref<?xf32>
    scf.reduce
  }
  return
}

// Without loops in parallel the call is not read.
// CHECK-LABEL: func @serial(
// CHECK-NEXT:    return
func.func @serial(%call: !llvm.ptr) {
  return
}
