// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-cpu-lower-parallel)' | FileCheck %s

// Each thread of the call takes shares of the iterations until none is left.
// CHECK-LABEL: func.func @shares
//  CHECK-SAME: (%[[CALL:.*]]: !llvm.ptr, %[[N:.*]]: index, %[[OUT:.*]]: memref<?xindex>)
//   CHECK-DAG: %[[COUNTER:.*]] = memref.alloca() : memref<i64>
//   CHECK-DAG: %[[FIELD:.*]] = llvm.getelementptr %[[CALL]][2]
//   CHECK-DAG: %[[THREADS:.*]] = llvm.load %[[FIELD]] invariant : !llvm.ptr -> i64
//       CHECK: %[[COUNT:.*]] = arith.index_cast %[[N]] : index to i64
//       CHECK: memref.store %{{.*}}, %[[COUNTER]][] : memref<i64>
//       CHECK: %[[I32:.*]] = arith.trunci %[[THREADS]] : i64 to i32
//       CHECK: omp.parallel num_threads(%[[I32]] : i32) {
//       CHECK:   %[[BEGIN:.*]] = memref.atomic_rmw addi %[[SHARE:.*]], %[[COUNTER]][]
//       CHECK:   %[[MORE:.*]] = arith.cmpi ult, %[[BEGIN]], %[[COUNT]]
//       CHECK:   scf.condition(%[[MORE]]) %[[BEGIN]]
//       CHECK: ^bb0(%[[TAKEN:.*]]: i64):
//       CHECK:   %[[LIMIT:.*]] = arith.addi %[[TAKEN]], %[[SHARE]]
//       CHECK:   %[[END:.*]] = arith.minui %[[LIMIT]], %[[COUNT]]
//   CHECK-DAG:   %[[FROM:.*]] = arith.index_cast %[[TAKEN]]
//   CHECK-DAG:   %[[TO:.*]] = arith.index_cast %[[END]]
//       CHECK:   scf.for %[[I:.*]] = %[[FROM]] to %[[TO]]
//       CHECK:     memref.store %[[I]], %[[OUT]][%[[I]]]
//       CHECK:   omp.terminator
func.func @shares(%call: !llvm.ptr, %n: index, %out: memref<?xindex>) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    memref.store %i, %out[%i] : memref<?xindex>
    scf.reduce
  }
  return
}

// A stack buffer is one per thread, whatever the number of iterations.
// CHECK-LABEL: func.func @scratch
//       CHECK: omp.parallel
//  CHECK-NEXT:   %[[SCRATCH:.*]] = memref.alloca() : memref<16xf32>
//       CHECK:   scf.for
//       CHECK:     memref.store %{{.*}}, %[[SCRATCH]]
func.func @scratch(%call: !llvm.ptr, %n: index, %x: f32) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %s = memref.alloca() : memref<16xf32>
    memref.store %x, %s[%c0] : memref<16xf32>
    scf.reduce
  }
  return
}

// A function without parallel loops does not read the call.
// CHECK-LABEL: func.func @serial
//   CHECK-NOT: llvm.load
//   CHECK-NOT: omp
//       CHECK: return
func.func @serial(%call: !llvm.ptr) attributes {moe.isa = "v3"} {
  return
}

// A level without threads has a loop around a function, which LLVM leaves one.
//       CHECK: func.func @one_thread.body0(
//  CHECK-SAME: passthrough = ["noinline"]
//       CHECK:   %[[SCRATCH:.*]] = memref.alloca() : memref<16xf32>
//       CHECK:   memref.store %{{.*}}, %[[SCRATCH]]
// CHECK-LABEL: func.func @one_thread(
//  CHECK-SAME: %{{[^:]*}}: !llvm.ptr, %[[N:[^:]*]]: index
//   CHECK-NOT: omp
//       CHECK: scf.for %{{.*}} = %{{.*}} to %[[N]] step
//       CHECK:   func.call @one_thread.body0
//   CHECK-NOT: omp
//       CHECK: return
func.func @one_thread(%call: !llvm.ptr, %n: index, %x: f32) attributes {moe.isa = "neon"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %s = memref.alloca() : memref<16xf32>
    memref.store %x, %s[%c0] : memref<16xf32>
    scf.reduce
  }
  return
}
