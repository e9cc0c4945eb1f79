// RUN: moe-opt %s --moe-cpu-lower-attention --canonicalize | FileCheck %s

!ids = memref<?xi32>
!cache = memref<2x?x?x3x40xf32>

// Items are runs of rows times key/value heads; blocks of keys begin at absolute positions.
// CHECK-LABEL: func @blocks
// CHECK-SAME: (%[[Q:.*]]: memref<?x6x40xf32>, {{.*}}, %[[K:.*]]: memref<2x?x?x3x40xf32>, %[[V:.*]]: memref<2x?x?x3x40xf32>, {{.*}}, %[[O:.*]]: memref
// CHECK-DAG: %[[C32:.*]] = arith.constant 32 : index
// CHECK: scf.parallel
// CHECK-DAG: memref.alloca() {alignment = 64 : i64} : memref<16x48xf32>
// CHECK: scf.for %[[BLOCK:.*]] = %c0 to %{{.*}} step %[[C32]]
// CHECK: math.exp %{{.*}} : vector<32xf32>
// CHECK-NOT: moe.attention
func.func @blocks(%q: memref<?x6x40xf32>, %cu: !ids, %past: !ids, %slot: !ids, %k: !cache, %v: !cache, %l: index,
                  %o: memref<?x6x40xf32>) attributes {moe.isa = "v4"} {
  moe.attention ins(%q, %cu, %past, %slot : memref<?x6x40xf32>, !ids, !ids, !ids)
    cache(%k, %v at %l : !cache) outs(%o : memref<?x6x40xf32>) {scale = 0.158 : f32}
  return
}

// Two registers of 16 lanes and a half make a row; no element after it is read.
// CHECK-LABEL: func @tail
// CHECK-DAG: %[[HALF:.*]] = arith.constant dense<[true, true, true, true, true, true, true, true, false, false, false, false, false, false, false, false]>
// CHECK: vector.maskedload %{{.*}}[%{{.*}}, %{{.*}}, %c32], %[[HALF]], %{{.*}} : memref<?x6x40xf32>
// CHECK: vector.maskedload %{{.*}}, %[[HALF]], %{{.*}} : memref<2x?x?x3x40xf32>
// CHECK: vector.maskedstore %{{.*}}, %[[HALF]], %{{.*}} : memref<?x6x40xf32>
func.func @tail(%q: memref<?x6x40xf32>, %cu: !ids, %past: !ids, %slot: !ids, %k: !cache, %v: !cache, %l: index,
                %o: memref<?x6x40xf32>) attributes {moe.isa = "v4"} {
  moe.attention ins(%q, %cu, %past, %slot : memref<?x6x40xf32>, !ids, !ids, !ids)
    cache(%k, %v at %l : !cache) outs(%o : memref<?x6x40xf32>) {scale = 0.158 : f32}
  return
}

// With 8 lanes, five registers make a row.
// CHECK-LABEL: func @narrow
// CHECK-NOT: vector.masked
// CHECK: math.fma %{{.*}} : vector<8xf32>
// CHECK-NOT: vector.masked
// CHECK: return
func.func @narrow(%q: memref<?x6x40xf32>, %cu: !ids, %past: !ids, %slot: !ids, %k: !cache, %v: !cache, %l: index,
                  %o: memref<?x6x40xf32>) attributes {moe.isa = "v3"} {
  moe.attention ins(%q, %cu, %past, %slot : memref<?x6x40xf32>, !ids, !ids, !ids)
    cache(%k, %v at %l : !cache) outs(%o : memref<?x6x40xf32>) {scale = 0.158 : f32, window = 8 : i64}
  return
}

// Rows are copied in parallel, each about as much work as it has elements.
// CHECK-LABEL: func @update
// CHECK: scf.parallel
// CHECK: vector.maskedstore
// CHECK: } {moe.work = 480 : i64}
// CHECK-NOT: moe.cache_update
func.func @update(%rows: memref<?x3x40xf32>, %cu: !ids, %past: !ids, %slot: !ids, %k: !cache, %l: index)
    attributes {moe.isa = "v4"} {
  moe.cache_update %rows, %cu, %past, %slot into %k[%l] : memref<?x3x40xf32>, !ids, !ids, !ids, !cache
  return
}
