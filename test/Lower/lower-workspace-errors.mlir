// RUN: moe-opt %s --moe-lower-workspace -split-input-file -verify-diagnostics

func.func @parallel(%call: !llvm.ptr, %x: memref<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  scf.parallel (%i) = (%c0) to (%c4) step (%c1) {
    // expected-error @below {{expected no buffer in a parallel loop, got 'memref<4xf32>'}}
    %a = memref.alloc() : memref<4xf32>
    memref.copy %a, %x : memref<4xf32> to memref<4xf32>
    scf.reduce
  }
  return
}

// -----

func.func @unknown_size(%call: !llvm.ptr, %n: memref<index>) {
  %size = memref.load %n[] : memref<index>
  // expected-error @below {{expected a buffer whose size follows from the extents of the entry's arguments, got 'memref<?xf32>'}}
  %a = memref.alloc(%size) : memref<?xf32>
  return
}

// -----

// A bound from above says nothing of a difference.
func.func @decreasing(%call: !llvm.ptr, %x: memref<?xf32>, %n: memref<index>) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?xf32>
  %count = memref.load %n[] : memref<index>
  %least = arith.minsi %count, %t : index
  %size = arith.subi %t, %least : index
  // expected-error @below {{expected a buffer whose size follows from the extents of the entry's arguments, got 'memref<?xf32>'}}
  %a = memref.alloc(%size) : memref<?xf32>
  return
}
