// RUN: moe-opt %s --moe-cpu-lower-panels | FileCheck %s

// Accumulators are carried over K and extracted without a detour.
// CHECK-LABEL: func @f32(
// CHECK-SAME:    %[[ROWS:.*]]: memref<160x2xf32>, %[[PANELS:.*]]: memref<1x160x32xf32>
func.func @f32(%rows: memref<160x2xf32>, %panels: memref<1x160x32xf32>) -> vector<16xf32> {
  // CHECK:      %[[SUMS:.*]]:4 = scf.for %[[K:[^ ]*]] = %c0{{.*}} to %c160{{.*}} iter_args(%[[S0:[^ ]*]] =
  // CHECK-DAG:    %[[W0:.*]] = vector.load %[[PANELS]][%c0{{.*}}, %[[K]], %c0{{.*}}] : memref<1x160x32xf32>, vector<16xf32>
  // CHECK-DAG:    %[[W1:.*]] = vector.load %[[PANELS]][%c0{{.*}}, %[[K]], %c16{{.*}}]
  // CHECK:        %[[X0:.*]] = memref.load %[[ROWS]][%[[K]], %c0{{.*}}]
  // CHECK:        %[[A0:.*]] = vector.broadcast %[[X0]] : f32 to vector<16xf32>
  // CHECK:        vector.fma %[[A0]], %[[W0]], %[[S0]] : vector<16xf32>
  // CHECK:        vector.fma %[[A0]], %[[W1]], %{{.*}} : vector<16xf32>
  // CHECK-COUNT-2: vector.fma
  // CHECK-NOT:     vector.fma
  // CHECK:      return %[[SUMS]]#2
  %acc = moe.panel_matmul %rows, %panels : memref<160x2xf32>, memref<1x160x32xf32> -> vector<1x2x2x16xf32>
  %v = vector.extract %acc[0, 1, 0] : vector<16xf32> from vector<1x2x2x16xf32>
  return %v : vector<16xf32>
}

// Pairs of bf16; 37 = 32 + 2 pairs + 1.
// CHECK-LABEL: func @bf16(
func.func @bf16(%rows: memref<37x1xf32>, %panels: memref<1x2x2x16x16x2xbf16>) -> vector<8xf32> {
  // CHECK: %[[PAIRS:.*]] = memref.collapse_shape %{{.*}} {{\[\[}}0], [1], [2], [3], [4, 5]]
  // CHECK: scf.for %[[BLOCK:[^ ]*]] = %c0{{.*}} to %c1{{[_ ]}}
  // CHECK:   scf.for %[[PAIR:[^ ]*]] = %c0{{.*}} to %c16
  // CHECK:     %[[B:.*]] = vector.load %[[PAIRS]][%c0{{.*}}, %[[BLOCK]], %c0{{.*}}, %[[PAIR]], %c0{{.*}}] : {{.*}}, vector<16xbf16>
  // CHECK:     %[[I:.*]] = vector.bitcast %[[B]] : vector<16xbf16> to vector<8xi32>
  // CHECK:     arith.shli %[[I]], %{{.*}} : vector<8xi32>
  // CHECK:     arith.andi %[[I]], %{{.*}} : vector<8xi32>
  // CHECK: scf.for %{{.*}} = %c0{{.*}} to %c2{{[_ ]}}
  // CHECK: vector.load %[[PAIRS]][%c0, %c1, %c1, %c2, %c16]
  // CHECK: memref.load %{{.*}}[%c36
  %acc = moe.panel_matmul %rows, %panels : memref<37x1xf32>, memref<1x2x2x16x16x2xbf16> -> vector<1x1x4x8xf32>
  %v = vector.extract %acc[0, 0, 3] : vector<8xf32> from vector<1x1x4x8xf32>
  return %v : vector<8xf32>
}

// 6 rows of 4 registers do not fit: two walks of 12 accumulators, of which the first prefetches.
// CHECK-LABEL: func @two_walks(
// CHECK-SAME:    %[[AHEAD:[^ ]*]]: memref<?xf32>, %[[FROM:[^ ]*]]: index, %[[STRIDE:[^ ]*]]: index
func.func @two_walks(%rows: memref<160x6xf32>, %panels: memref<1x160x32xf32>, %ahead: memref<?xf32>, %from: index, %stride: index) -> vector<8xf32> {
  // CHECK:     %{{.*}}:12 = scf.for %[[K:[^ ]*]] =
  // CHECK:       %[[SKIP:.*]] = arith.muli %[[K]], %[[STRIDE]]
  // CHECK:       %[[AT:.*]] = arith.addi %[[FROM]], %[[SKIP]]
  // CHECK:       memref.prefetch %[[AHEAD]][%{{.*}}], read, locality<2>, data
  // CHECK:       %[[LINE:.*]] = arith.addi %[[AT]], %c16
  // CHECK:       memref.prefetch %[[AHEAD]][%[[LINE]]]
  // CHECK:     %{{.*}}:12 = scf.for
  // CHECK-NOT: memref.prefetch
  %acc = moe.panel_matmul %rows, %panels ahead %ahead[%from by %stride] : memref<?xf32>
         : memref<160x6xf32>, memref<1x160x32xf32> -> vector<1x6x4x8xf32>
  %v = vector.extract %acc[0, 5, 3] : vector<8xf32> from vector<1x6x4x8xf32>
  return %v : vector<8xf32>
}
