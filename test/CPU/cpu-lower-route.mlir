// RUN: moe-opt %s --moe-cpu-lower-route --canonicalize | FileCheck %s

// 40 experts are three registers, of which the last is half full.
// CHECK-LABEL: func @route(
// CHECK-SAME:    %[[LOGITS:[^ ]*]]: memref<?x40xf32>, %[[IDX:[^ ]*]]: memref<?x4xi32>, %[[WEIGHTS:[^ ]*]]: memref<?x4xf32>
func.func @route(%logits: memref<?x40xf32>, %idx: memref<?x4xi32>, %weights: memref<?x4xf32>) attributes {moe.isa = "v4"} {
  // CHECK-DAG: %[[HALF:.*]] = arith.constant dense<[true, true, true, true, true, true, true, true, false, {{.*}}]> : vector<16xi1>
  // CHECK-DAG: %[[LEAST:.*]] = arith.constant dense<0xFF800000> : vector<16xf32>
  // CHECK:     scf.parallel
  // CHECK-DAG:   %[[SCORES:.*]] = memref.alloca() {{.*}} : memref<40xf32>
  // CHECK-DAG:   %[[KEYS:.*]] = memref.alloca() {{.*}} : memref<40xi32>
  // CHECK:       scf.for %[[TOKEN:[^ ]*]] =
  // Softmax; a lane without an expert adds 0.
  // CHECK:         vector.load %[[LOGITS]][%[[TOKEN]], %{{.*}}] : memref<?x40xf32>, vector<16xf32>
  // CHECK:         arith.maxnumf
  // CHECK:         vector.maskedload %[[LOGITS]][%[[TOKEN]], %c32], %[[HALF]], %[[LEAST]]
  // CHECK:         vector.reduction <maxnumf>
  // CHECK:         math.exp
  // CHECK:         arith.divf
  // Keys order as numbers do; NaN comes last.
  // CHECK:         %[[BITS:.*]] = arith.bitcast %{{.*}} : vector<16xf32> to vector<16xi32>
  // CHECK:         %[[NAN:.*]] = arith.cmpf uno
  // CHECK:         %[[KEY:.*]] = arith.xori %[[BITS]], %{{.*}}
  // CHECK:         arith.select %[[NAN]], %{{.*}}, %[[KEY]]
  // The largest key, then the lowest index.
  // CHECK:         scf.for %[[J:[^ ]*]] = %c0{{.*}} to %c4
  // CHECK:           %[[BETTER:.*]] = arith.cmpi sgt, %[[KEY:.*]], %[[BEST:.*]] : vector<16xi32>
  // CHECK-NEXT:      arith.maxsi %[[KEY]], %[[BEST]]
  // CHECK-NEXT:      arith.select %[[BETTER]]
  // CHECK:           vector.reduction <maxsi>
  // CHECK:           %[[E:.*]] = vector.reduction <minsi>
  // CHECK:           %[[AT:.*]] = arith.index_cast %[[E]]
  // CHECK:           memref.store %{{.*}}, %[[KEYS]][%[[AT]]]
  // CHECK:           %[[S:.*]] = memref.load %[[SCORES]][%[[AT]]]
  // CHECK:           memref.store %[[E]], %[[IDX]][%[[TOKEN]], %[[J]]]
  // CHECK:           memref.store %[[S]], %{{.*}}[%[[J]]]
  // CHECK-NOT:     arith.divf
  // CHECK:         vector.maskedstore %[[WEIGHTS]][%[[TOKEN]], %c0]
  moe.route softmax ins(%logits : memref<?x40xf32>) outs(%idx, %weights : memref<?x4xi32>, memref<?x4xf32>)
  return
}

// CHECK-LABEL: func @normalized(
func.func @normalized(%logits: memref<?x16xf32>, %idx: memref<?x2xi32>, %weights: memref<?x2xf32>) attributes {moe.isa = "v3"} {
  // CHECK: vector<8xf32>
  // CHECK: vector.reduction <minsi>
  // CHECK: %[[SUM:.*]] = scf.for
  // CHECK: %[[SUMS:.*]] = vector.broadcast %[[SUM]]
  // CHECK: %[[W:.*]] = arith.divf %{{.*}}, %[[SUMS]]
  // CHECK: arith.mulf %[[W]], %{{.*}} : vector<8xf32>
  moe.route softmax ins(%logits : memref<?x16xf32>) norm sum scale 2.5 outs(%idx, %weights : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// A bias moves keys, not weights.
// CHECK-LABEL: func @bias(
// CHECK-SAME:    memref<?x16xf32>, %[[BIAS:[^ ]*]]: memref<16xbf16>
func.func @bias(%logits: memref<?x16xf32>, %bias: memref<16xbf16>, %idx: memref<?x2xi32>, %weights: memref<?x2xf32>) attributes {moe.isa = "v4"} {
  // CHECK: %[[SCORE:.*]] = arith.divf
  // CHECK: vector.store %[[SCORE]], %[[SCORES:alloca[_0-9]*]][
  // CHECK: %[[B:.*]] = vector.load %[[BIAS]]
  // CHECK: %[[WIDE:.*]] = arith.extf %[[B]]
  // CHECK: arith.addf %{{.*}}, %[[WIDE]]
  // CHECK: memref.load %[[SCORES]]
  moe.route sigmoid ins(%logits : memref<?x16xf32>) bias(%bias : memref<16xbf16>) outs(%idx, %weights : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// The sum of the two largest keys of each group of 8; 3 of 4 groups are taken, and keys of the other become -inf.
// CHECK-LABEL: func @groups(
func.func @groups(%logits: memref<?x32xf32>, %idx: memref<?x2xi32>, %weights: memref<?x2xf32>) attributes {moe.isa = "v4"} {
  // CHECK-DAG: %[[GROUP:.*]] = memref.alloca() {{.*}} : memref<4xi32>
  // CHECK:     scf.for %[[G:[^ ]*]] = %c0 to %c4
  // CHECK:       scf.for %{{.*}} = %c0 to %c2
  // CHECK:       memref.store %{{.*}}, %[[GROUP]][%[[G]]]
  // CHECK:     scf.for %{{.*}} = %c0 to %c3
  // CHECK:       memref.store %{{.*}}, %[[GROUP]]
  // CHECK:     scf.for %[[G:[^ ]*]] = %c0 to %c4
  // CHECK:       %[[STATE:.*]] = memref.load %[[GROUP]][%[[G]]]
  // CHECK:       %[[DROPPED:.*]] = arith.cmpi ne, %[[STATE]]
  // CHECK:       scf.if %[[DROPPED]]
  // CHECK:         vector.maskedstore
  moe.route sigmoid ins(%logits : memref<?x32xf32>) groups <4 keep 3 by 2 fill neg_inf> outs(%idx, %weights : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// Slots whose key is not above 0.5, or before which keys add up to 2, are dropped, also where all are.
// CHECK-LABEL: func @bounds(
// CHECK-SAME:    %{{[^ ]*}}: memref<?x16xf32>, %[[IDX:[^ ]*]]: memref<?x2xi32>
func.func @bounds(%logits: memref<?x16xf32>, %idx: memref<?x2xi32>, %weights: memref<?x2xf32>) attributes {moe.isa = "v4"} {
  // CHECK: scf.for %{{.*}} iter_args(%[[MASS:.*]] =
  // CHECK:   arith.cmpf ogt
  // CHECK:   arith.cmpf olt, %[[MASS]]
  // CHECK:   memref.store %{{.*}}, %[[IDX]]
  // CHECK: arith.divf
  // CHECK: vector.maskedload %[[IDX]]
  // CHECK: arith.select
  moe.route sigmoid ins(%logits : memref<?x16xf32>) above 0.5 until 2.0 norm sum outs(%idx, %weights : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// The softmax is over 4 slots; no expert has a score.
// CHECK-LABEL: func @of_chosen(
// CHECK-SAME:    %[[LOGITS:[^ ]*]]: memref<?x16xf32>
func.func @of_chosen(%logits: memref<?x16xf32>, %idx: memref<?x4xi32>, %weights: memref<?x4xf32>) attributes {moe.isa = "v4"} {
  // CHECK-NOT: math.exp
  // CHECK: vector.reduction <minsi>
  // CHECK: memref.load %[[LOGITS]]
  // CHECK: math.exp
  // CHECK: arith.divf
  moe.route softmax of_chosen ins(%logits : memref<?x16xf32>) outs(%idx, %weights : memref<?x4xi32>, memref<?x4xf32>)
  return
}
