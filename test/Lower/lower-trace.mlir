// RUN: moe-opt %s --moe-lower-trace | FileCheck %s

// CHECK: module attributes {moe.stages = ["second", "first", "copy"]}

// Each outermost op that takes time and has a name is a stage; ops without a name are searched for stages, and tell them
// the iteration.
//
// CHECK-LABEL: func @stages(
// CHECK-SAME:      %[[CALL:[^:]*]]: !llvm.ptr
// CHECK:         %[[FIELD:.*]] = llvm.getelementptr %[[CALL]][3]
// CHECK:         %[[TRACE:.*]] = llvm.load %[[FIELD]]
// CHECK:         %[[NONE:.*]] = arith.constant -1 : i64
// CHECK:         scf.for %[[L:.*]] =
// CHECK-NEXT:      %[[ITERATION:.*]] = arith.index_cast %[[L]] : index to i64
// CHECK-NEXT:      %[[BEGIN:.*]] = llvm.call_intrinsic "llvm.readcyclecounter"()
// CHECK-NEXT:      scf.parallel
// CHECK-NOT:         readcyclecounter
// CHECK:             scf.reduce
// CHECK-NEXT:      }
// CHECK-NEXT:      %[[SECOND:.*]] = arith.constant 0 : i64
// CHECK-NEXT:      func.call @moe.record(%[[TRACE]], %[[SECOND]], %[[ITERATION]], %[[BEGIN]])
// CHECK-NEXT:      llvm.call_intrinsic "llvm.readcyclecounter"()
// CHECK-NEXT:      scf.parallel
// CHECK:           %[[FIRST:.*]] = arith.constant 1 : i64
// CHECK-NEXT:      func.call @moe.record(%[[TRACE]], %[[FIRST]], %[[ITERATION]],
// CHECK-NOT:     func.call @moe.record
// CHECK:         memref.store
// CHECK:         memref.copy
// CHECK-NEXT:    %[[COPY:.*]] = arith.constant 2 : i64
// CHECK-NEXT:    call @moe.record(%[[TRACE]], %[[COPY]], %[[NONE]],
// CHECK:         scf.parallel
// CHECK:         %[[AGAIN:.*]] = arith.constant 0 : i64
// CHECK-NEXT:    call @moe.record(%[[TRACE]], %[[AGAIN]], %[[NONE]],
func.func @stages(%call: !llvm.ptr, %x: memref<?xf32>, %y: memref<?xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %f0 = arith.constant 0.0 : f32
  scf.for %l = %c0 to %n step %c1 {
    scf.parallel (%i) = (%c0) to (%n) step (%c1) {
      scf.for %j = %c0 to %n step %c1 {
        memref.store %f0, %x[%j] : memref<?xf32>
      } loc("second")
    } loc("second"("model.mlir":1:1))
    scf.parallel (%i) = (%c0) to (%n) step (%c1) {
      memref.store %f0, %y[%i] : memref<?xf32>
    } loc(callsite("first" at "caller"))
  }
  memref.store %f0, %x[%c0] : memref<?xf32> loc("no time")
  memref.copy %x, %y : memref<?xf32> to memref<?xf32> loc("copy")
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    memref.store %f0, %y[%i] : memref<?xf32>
  } loc("second")
  return
}

// A function that entries call records nothing itself.
// CHECK-LABEL: func private @helper(
// CHECK-NOT:     call
func.func private @helper(%n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %l = %c0 to %n step %c1 {
  } loc("helper")
  return
}

// An event goes to `events[count & mask]`.
// CHECK-LABEL: func private @moe.record(
// CHECK-SAME:      %[[TRACE:.*]]: !llvm.ptr, %[[STAGE:.*]]: i64, %[[ITERATION:.*]]: i64, %[[BEGIN:.*]]: i64)
// CHECK:         %[[END:.*]] = llvm.call_intrinsic "llvm.readcyclecounter"()
// CHECK:         %[[NULL:.*]] = llvm.mlir.zero
// CHECK:         %[[ON:.*]] = llvm.icmp "ne" %[[TRACE]], %[[NULL]]
// CHECK:         scf.if %[[ON]]
// CHECK:           %[[COUNT:.*]] = llvm.load
// CHECK:           %[[MASK:.*]] = llvm.load
// CHECK:           %[[EVENTS:.*]] = llvm.load
// CHECK:           %[[INDEX:.*]] = arith.andi %[[COUNT]], %[[MASK]]
// CHECK:           %[[OFFSET:.*]] = arith.muli %[[INDEX]],
// CHECK:           %[[EVENT:.*]] = llvm.getelementptr %[[EVENTS]][%[[OFFSET]]]
// CHECK:           llvm.store %[[STAGE]],
// CHECK:           llvm.store %[[ITERATION]],
// CHECK:           llvm.store %[[BEGIN]],
// CHECK:           llvm.store %[[END]],
// CHECK:           %[[NEXT:.*]] = arith.addi %[[COUNT]],
// CHECK:           llvm.store %[[NEXT]],
