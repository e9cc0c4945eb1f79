// RUN: moe-opt %s --moe-cpu-hoist-scratch | FileCheck %s

// A buffer of a static size moves to the thread.
// CHECK-LABEL: func @static
// CHECK: omp.parallel {
// CHECK-NEXT: %[[S:.*]] = memref.alloca() : memref<16xf32>
// CHECK-NEXT: omp.wsloop
// CHECK-NOT: memref.alloca_scope
// CHECK: memref.store %{{.*}}, %[[S]]
func.func @static(%n: index, %x: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  omp.parallel {
    omp.wsloop {
      omp.loop_nest (%i) : index = (%c0) to (%n) step (%c1) {
        memref.alloca_scope {
          %s = memref.alloca() : memref<16xf32>
          memref.store %x, %s[%c0] : memref<16xf32>
        }
        omp.yield
      }
    }
    omp.terminator
  }
  return
}

// One of a dynamic size keeps its scope.
// CHECK-LABEL: func @dynamic
// CHECK: omp.loop_nest
// CHECK-NEXT: memref.alloca_scope
// CHECK-NEXT: memref.alloca(%{{.*}}) : memref<?xf32>
func.func @dynamic(%n: index, %x: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  omp.parallel {
    omp.wsloop {
      omp.loop_nest (%i) : index = (%c0) to (%n) step (%c1) {
        memref.alloca_scope {
          %s = memref.alloca(%n) : memref<?xf32>
          memref.store %x, %s[%c0] : memref<?xf32>
        }
        omp.yield
      }
    }
    omp.terminator
  }
  return
}
