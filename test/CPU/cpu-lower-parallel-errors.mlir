// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-cpu-lower-parallel)' --split-input-file --verify-diagnostics

func.func @steps(%call: !llvm.ptr, %n: index) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  // expected-error @below {{expected one dimension from 0 in steps of 1}}
  scf.parallel (%i) = (%c0) to (%n) step (%c2) {
    scf.reduce
  }
  return
}

// -----

func.func @nest(%call: !llvm.ptr, %n: index) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    // expected-error @below {{expected no parallel loop in another}}
    scf.parallel (%j) = (%c0) to (%n) step (%c1) {
      scf.reduce
    }
    scf.reduce
  }
  return
}

// -----

func.func @size(%call: !llvm.ptr, %n: index) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    // expected-error @below {{expected a static size of a stack buffer in a parallel loop}}
    %s = memref.alloca(%n) : memref<?xf32>
    scf.reduce
  }
  return
}

// -----

// expected-error @below {{expected one block and no results of a function with parallel loops}}
func.func @result(%call: !llvm.ptr, %n: index) -> index attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    scf.reduce
  }
  return %n : index
}

// -----

func.func @buffer(%call: !llvm.ptr, %n: index) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error @below {{expected numbers as results of an op that writes, got 'memref<?xindex>'}}
  %x = memref.alloc(%n) : memref<?xindex>
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    memref.store %i, %x[%i] : memref<?xindex>
    scf.reduce
  }
  return
}

// -----

// expected-error @below {{expected a function with `moe.isa`}}
func.func @level(%call: !llvm.ptr, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    scf.reduce
  }
  return
}
