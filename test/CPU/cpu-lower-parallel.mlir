// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-cpu-lower-parallel,canonicalize)' | FileCheck %s

// Each thread of the team takes shares of the iterations until none is left; the two counters take turns.
// CHECK-LABEL: func.func private @shares.team
//  CHECK-SAME: (%[[CALL:.*]]: !llvm.ptr, %[[N:.*]]: index, %[[OUT:.*]]: memref<?xindex>, %[[LEADS:.*]]: i1, %[[OTHERS:.*]]: i1, %[[COUNTERS:.*]]: memref<2xi64>)
//       CHECK: %[[COUNT:.*]] = arith.index_cast %[[N]] : index to i64
//       CHECK: %[[SEVERAL:.*]] = arith.cmpi ugt, %[[COUNT]], %c1_i64
//       CHECK: %[[SHARED:.*]] = arith.andi %[[OTHERS]], %[[SEVERAL]]
//       CHECK: %[[TURN:.*]] = memref.load %{{.*}}[] : memref<index>
//       CHECK: %[[OTHER:.*]] = arith.subi %c1, %[[TURN]]
//       CHECK: %[[RESETS:.*]] = arith.andi %[[SHARED]], %[[LEADS]]
//       CHECK: scf.if %[[RESETS]] {
//       CHECK:   memref.store %c0_i64, %[[COUNTERS]][%[[OTHER]]]
//       CHECK: %[[SHARE:.*]] = arith.select %[[SHARED]], %{{.*}}, %[[COUNT]]
//       CHECK: %[[ALONE:.*]] = arith.select %[[LEADS]], %c0_i64, %[[COUNT]]
//       CHECK: %[[FIRST:.*]] = scf.if %[[SHARED]] -> (i64) {
//       CHECK:   memref.atomic_rmw addi %[[SHARE]], %[[COUNTERS]][%[[TURN]]]
//       CHECK: } else {
//       CHECK:   scf.yield %[[ALONE]]
//       CHECK: scf.while (%[[BEGIN:.*]] = %[[FIRST]])
//       CHECK:   arith.cmpi ult, %[[BEGIN]], %[[COUNT]]
//       CHECK: ^bb0(%[[TAKEN:.*]]: i64):
//       CHECK:   %[[LIMIT:.*]] = arith.addi %[[TAKEN]], %[[SHARE]]
//       CHECK:   %[[END:.*]] = arith.minui %[[LIMIT]], %[[COUNT]]
//   CHECK-DAG:   %[[FROM:.*]] = arith.index_cast %[[TAKEN]]
//   CHECK-DAG:   %[[TO:.*]] = arith.index_cast %[[END]]
//       CHECK:   scf.for %[[I:.*]] = %[[FROM]] to %[[TO]]
//       CHECK:     func.call @shares.body0(%[[I]], %[[OUT]])

// A team of one is called by itself.
// CHECK-LABEL: func.func @shares(
//       CHECK: %[[ZEROS:.*]] = memref.alloca() : memref<2xi64>
//       CHECK: %[[THREADS:.*]] = llvm.load %{{.*}} invariant : !llvm.ptr -> i64
//       CHECK: %[[MANY:.*]] = arith.cmpi ugt, %[[THREADS]], %c1_i64
//       CHECK: scf.if %[[MANY]] {
//       CHECK:   omp.parallel num_threads
//       CHECK:     %[[NUMBER:.*]] = func.call @omp_get_thread_num()
//       CHECK:     %[[IS_FIRST:.*]] = arith.cmpi eq, %[[NUMBER]], %c0_i32
//       CHECK:     func.call @shares.team({{.*}}, %[[IS_FIRST]], %true, %[[ZEROS]])
//       CHECK: } else {
//       CHECK:   func.call @shares.team({{.*}}, %true, %false, %[[ZEROS]])
func.func @shares(%call: !llvm.ptr, %n: index, %out: memref<?xindex>) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    memref.store %i, %out[%i] : memref<?xindex>
    scf.reduce
  }
  return
}

// A loop of little work is the leader's.
// CHECK-LABEL: func.func private @work.team
//       CHECK: %[[WORK:.*]] = arith.muli %{{.*}}, %c100_i64
//       CHECK: %[[ENOUGH:.*]] = arith.cmpi ugt, %[[WORK]], %c32767_i64
//       CHECK: arith.andi %{{.*}}, %[[ENOUGH]]
func.func @work(%call: !llvm.ptr, %n: index, %out: memref<?xindex>) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    memref.store %i, %out[%i] : memref<?xindex>
    scf.reduce
  } {moe.work = 100 : i64}
  return
}

// A stack buffer is of the body's function.
// CHECK-LABEL: func.func private @scratch.body0
//       CHECK:   %[[SCRATCH:.*]] = memref.alloca() : memref<16xf32>
//       CHECK:   memref.store %{{.*}}, %[[SCRATCH]]
func.func @scratch(%call: !llvm.ptr, %n: index, %x: f32, %out: memref<?xf32>) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %s = memref.alloca() : memref<16xf32>
    memref.store %x, %s[%i] : memref<16xf32>
    %y = memref.load %s[%c0] : memref<16xf32>
    memref.store %y, %out[%i] : memref<?xf32>
    scf.reduce
  }
  return
}

// The leader writes, when all have read what they may read (1) or written (4). A number that it finds out goes to all
// through memory, when it is written (2), and is not overwritten before all have read it (8). A number of an argument
// that nobody writes is read by each thread at once.
// CHECK-LABEL: func.func private @writes.team
//  CHECK-SAME: (%{{.*}}: !llvm.ptr, %[[IN:.*]]: memref<?xindex>, %[[OUT:.*]]: memref<?xindex>, %[[LEADS:.*]]: i1, %{{.*}}: i1, %{{.*}}: memref<2xi64>, %[[RESULT:.*]]: memref<index>)
//       CHECK: %[[SINCE:.*]] = memref.alloca() : memref<i32>
//       CHECK: %[[M:.*]] = memref.load %[[IN]]
//   CHECK-NOT: omp.barrier
//       CHECK: %[[OLD:.*]] = memref.load %[[SINCE]]
//       CHECK: %[[BEFORE:.*]] = arith.andi %[[OLD]], %c13_i32
//       CHECK: %[[MUST:.*]] = arith.cmpi ne, %[[BEFORE]], %c0_i32
//       CHECK: scf.if %[[MUST]] {
//       CHECK:   omp.barrier
//       CHECK:   memref.store %c0_i32, %[[SINCE]]
//       CHECK: scf.if %[[LEADS]] {
//       CHECK:   %[[SUM:.*]] = scf.for
//       CHECK:     memref.store %{{.*}}, %[[OUT]]
//       CHECK:   memref.store %[[SUM]], %[[RESULT]][]
//       CHECK: arith.andi %{{.*}}, %c2_i32
//       CHECK: omp.barrier
//       CHECK: %[[ALL:.*]] = memref.load %[[RESULT]][]
//       CHECK: arith.index_cast %[[ALL]] : index to i64
func.func @writes(%call: !llvm.ptr, %in: memref<?xindex>, %out: memref<?xindex>) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = memref.load %in[%c0] : memref<?xindex>
  %n = scf.for %i = %c0 to %m step %c1 iter_args(%sum = %c0) -> index {
    memref.store %i, %out[%i] : memref<?xindex>
    %next = arith.addi %sum, %i : index
    scf.yield %next : index
  }
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    memref.store %i, %out[%i] : memref<?xindex>
    scf.reduce
  }
  return
}

// All threads go through the loop around a parallel loop, and read what was written before, when it is (6).
// CHECK-LABEL: func.func private @layers.team
//  CHECK-SAME: %[[X:[^ ]*]]: memref<?xindex>, %[[LEADS:[^ ]*]]: i1
//       CHECK: scf.for
//   CHECK-NOT:   scf.if %[[LEADS]]
//       CHECK:   arith.andi %{{.*}}, %c6_i32
//       CHECK:   omp.barrier
//       CHECK:   %[[N:.*]] = memref.load %[[X]]
//       CHECK:   arith.index_cast %[[N]] : index to i64
//       CHECK:   func.call @layers.body0
func.func @layers(%call: !llvm.ptr, %x: memref<?xindex>) attributes {moe.isa = "v3"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  scf.for %l = %c0 to %c4 step %c1 {
    %n = memref.load %x[%l] : memref<?xindex>
    scf.parallel (%i) = (%c0) to (%n) step (%c1) {
      memref.store %i, %x[%i] : memref<?xindex>
      scf.reduce
    }
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
//       CHECK: func.func private @one_thread.body0(
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
func.func @one_thread(%call: !llvm.ptr, %n: index, %x: f32, %out: memref<?xf32>) attributes {moe.isa = "neon"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %s = memref.alloca() : memref<16xf32>
    memref.store %x, %s[%i] : memref<16xf32>
    %y = memref.load %s[%c0] : memref<16xf32>
    memref.store %y, %out[%i] : memref<?xf32>
    scf.reduce
  }
  return
}
