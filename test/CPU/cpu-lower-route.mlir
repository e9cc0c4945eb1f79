// RUN: moe-opt %s --moe-cpu-lower-route --canonicalize | FileCheck %s

// 40 experts are three registers, of which the last is half full.
// CHECK-LABEL: func @route(
// CHECK-SAME:    %[[LOGITS:[^ ]*]]: memref<?x40xf32>, %[[IDX:[^ ]*]]: memref<?x4xi32>, %[[WEIGHTS:[^ ]*]]: memref<?x4xf32>
func.func @route(%logits: memref<?x40xf32>, %idx: memref<?x4xi32>, %weights: memref<?x4xf32>) attributes {moe.isa = "v4"} {
  // CHECK:     scf.parallel
  // CHECK-DAG:   %[[SCORES:.*]] = memref.alloca() : memref<48xf32>
  // CHECK-DAG:   %[[KEYS:.*]] = memref.alloca() : memref<48xi32>
  // CHECK:       scf.for %[[TOKEN:[^ ]*]] =
  // Softmax; a lane without an expert adds 0.
  // CHECK:         vector.transfer_read %[[LOGITS]][%[[TOKEN]], %{{.*}}], %cst{{.*}} : memref<?x40xf32>, vector<16xf32>
  // CHECK:         arith.maxnumf
  // CHECK:         vector.reduction <maxnumf>
  // CHECK:         math.exp
  // CHECK:         vector.reduction <add>
  // Keys: the score's bits, -1 of NaN, the least where there is no expert.
  // CHECK:         %[[BITS:.*]] = arith.bitcast %{{.*}} : vector<16xf32> to vector<16xi32>
  // CHECK:         %[[NUMBER:.*]] = arith.cmpf ord
  // CHECK:         %[[KEY:.*]] = arith.select %[[NUMBER]], %[[BITS]], %{{.*}}
  // CHECK:         arith.select %{{.*}}, %[[KEY]], %{{.*}}
  // The largest key, then the lowest index.
  // CHECK:         scf.for %[[J:[^ ]*]] = %c0{{.*}} to %c4
  // CHECK:           vector.reduction <maxsi>
  // CHECK:           %[[E:.*]] = vector.reduction <minsi>
  // CHECK:           %[[AT:.*]] = arith.index_cast %[[E]]
  // CHECK:           memref.store %{{.*}}, %[[KEYS]][%[[AT]]]
  // CHECK:           memref.store %[[E]], %[[IDX]][%[[TOKEN]], %[[J]]]
  // CHECK:           %[[S:.*]] = memref.load %[[SCORES]][%[[AT]]]
  // CHECK:           memref.store %[[S]], %[[WEIGHTS]][%[[TOKEN]], %[[J]]]
  // CHECK-NOT:     arith.divf
  moe.route softmax ins(%logits : memref<?x40xf32>) outs(%idx, %weights : memref<?x4xi32>, memref<?x4xf32>)
  return
}

// CHECK-LABEL: func @normalized(
func.func @normalized(%logits: memref<?x16xf32>, %idx: memref<?x2xi32>, %weights: memref<?x2xf32>) attributes {moe.isa = "v3"} {
  // CHECK: vector<8xf32>
  // CHECK: vector.reduction <minsi>
  // CHECK: %[[SUM:.*]] = scf.for
  // CHECK: arith.divf %{{.*}}, %[[SUM]]
  moe.route softmax ins(%logits : memref<?x16xf32>) norm sum outs(%idx, %weights : memref<?x2xi32>, memref<?x2xf32>)
  return
}
