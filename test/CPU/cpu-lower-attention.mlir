// RUN: moe-opt %s --moe-cpu-lower-attention --canonicalize | FileCheck %s

!ids = memref<?xi32>
!cache = memref<2x?x3x?x40xf32>

// Items are runs of rows times key/value heads; blocks of keys begin at absolute positions. While a block is used, lines
// of the next one are prefetched, if there is one.
// CHECK-LABEL: func @blocks
// CHECK-SAME: (%[[Q:.*]]: memref<?x6x40xf32>, {{.*}}, %[[K:.*]]: memref<2x?x3x?x40xf32>, %[[V:.*]]: memref<2x?x3x?x40xf32>, {{.*}}, %[[O:.*]]: memref
// CHECK-DAG: %[[C32:.*]] = arith.constant 32 : index
// CHECK: scf.parallel
// CHECK-DAG: memref.alloca() {alignment = 64 : i64} : memref<16x48xf32>
// CHECK: scf.for %[[BLOCK:.*]] = %c0 to %{{.*}} step %[[C32]]
// CHECK: %[[NEXT:.*]] = arith.addi %[[BLOCK]], %[[C32]]
// CHECK: arith.cmpi ult, %[[NEXT]], %{{.*}}
// CHECK: scf.if
// CHECK: memref.prefetch %[[K]][%{{.*}}], read, locality<2>, data
// CHECK: math.exp %{{.*}} : vector<32xf32>
// CHECK: memref.prefetch %[[V]][%{{.*}}], read, locality<2>, data
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
// CHECK: vector.maskedload %{{.*}}, %[[HALF]], %{{.*}} : memref<2x?x3x?x40xf32>
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

// 128 query heads of one key head are eight items, so that scratch stays small. Threads take items if the longest
// sequence is worth it.
// CHECK-LABEL: func @many_heads
// CHECK: %[[ITEMS:.*]] = arith.muli %{{.*}}, %c8
// CHECK: %[[KEYS:.*]] = scf.for
// CHECK:   arith.maxui
// CHECK: %[[WORK:.*]] = arith.muli %[[KEYS]], %c576
// CHECK: %[[ALL:.*]] = arith.muli %[[ITEMS]], %[[WORK]]
// CHECK: %[[WORTH:.*]] = arith.cmpi uge, %[[ALL]], %{{.*}}
// CHECK: %[[THREADS:.*]] = arith.select %[[WORTH]], %{{.*}}, %c1
// CHECK: scf.parallel {{.*}} to (%[[THREADS]])
// CHECK-COUNT-2: memref.alloca() {alignment = 64 : i64} : memref<16x576xf32>
func.func @many_heads(%q: memref<?x128x576xf32>, %cu: !ids, %past: !ids, %slot: !ids, %k: memref<2x?x1x?x576xf32>,
                      %l: index, %o: memref<?x128x576xf32>) attributes {moe.isa = "v4"} {
  moe.attention ins(%q, %cu, %past, %slot : memref<?x128x576xf32>, !ids, !ids, !ids)
    cache(%k, %k at %l : memref<2x?x1x?x576xf32>) outs(%o : memref<?x128x576xf32>) {scale = 0.072 : f32}
  return
}

// Blocks begin with the one that holds the start of the first row's chunk.
// CHECK-LABEL: func @chunk
// CHECK: %[[NUMBER:.*]] = arith.divui %[[POSITION:.*]], %c100
// CHECK: %[[START:.*]] = arith.muli %[[NUMBER]], %c100
// CHECK: %[[BLOCK:.*]] = arith.divui %[[START]], %c32
// CHECK: %[[FIRST:.*]] = arith.muli %[[BLOCK]], %c32
// CHECK: scf.for %{{.*}} = %[[FIRST]] to %{{.*}} step %c32
func.func @chunk(%q: memref<?x6x40xf32>, %cu: !ids, %past: !ids, %slot: !ids, %k: !cache, %v: !cache, %l: index,
                 %o: memref<?x6x40xf32>) attributes {moe.isa = "v4"} {
  moe.attention ins(%q, %cu, %past, %slot : memref<?x6x40xf32>, !ids, !ids, !ids)
    cache(%k, %v at %l : !cache) outs(%o : memref<?x6x40xf32>) {scale = 0.158 : f32, chunk = 100 : i64}
  return
}

// Each query starts with its head's sink as maximum and 1 in a sum. Scores are capped before it is decided which count.
// CHECK-LABEL: func @sinks
// CHECK-SAME: %[[SINKS:[^:]*]]: memref<6xf32>
// CHECK-DAG: %[[ONE:.*]] = arith.constant dense<[1.000000e+00, 0.000000e+00,
// CHECK: %[[SINK:.*]] = memref.load %[[SINKS]]
// CHECK: memref.store %[[SINK]]
// CHECK: vector.store %[[ONE]]
// CHECK: %[[TANH:.*]] = math.tanh %{{.*}} : vector<32xf32>
// CHECK: %[[CAPPED:.*]] = arith.mulf %[[TANH]], %{{.*}} : vector<32xf32>
// CHECK: arith.select %{{.*}}, %[[CAPPED]], %{{.*}} : vector<32xi1>, vector<32xf32>
func.func @sinks(%q: memref<?x6x40xf32>, %cu: !ids, %past: !ids, %slot: !ids, %k: !cache, %v: !cache, %l: index,
                 %sinks: memref<6xf32>, %o: memref<?x6x40xf32>) attributes {moe.isa = "v4"} {
  moe.attention ins(%q, %cu, %past, %slot : memref<?x6x40xf32>, !ids, !ids, !ids)
    cache(%k, %v at %l : !cache) sinks(%sinks : memref<6xf32>)
    outs(%o : memref<?x6x40xf32>) {scale = 0.158 : f32, softcap = 20.0 : f32}
  return
}

// Biases are gathered by distance; all rows see the positions below the length of their sequence.
// CHECK-LABEL: func @bias_and_lengths
// CHECK-SAME: %[[LENGTHS:[^:]*]]: memref<?xi32>, %[[BIAS:[^:]*]]: memref<6x9xf32>
// CHECK: scf.parallel
// CHECK: %[[LENGTH:.*]] = memref.load %[[LENGTHS]]
// CHECK: %[[END:.*]] = arith.index_cast %[[LENGTH]]
// CHECK: scf.for %{{.*}} = %c0 to %[[END]] step %c32
// CHECK: %[[COLUMNS:.*]] = arith.minsi %{{.*}} : vector<32xi32>
// CHECK: vector.gather %[[BIAS]][%{{.*}}, %c0] [%[[COLUMNS]]]
func.func @bias_and_lengths(%q: memref<?x6x40xf32>, %cu: !ids, %past: !ids, %slot: !ids, %k: !cache, %v: !cache,
                            %l: index, %lengths: !ids, %bias: memref<6x9xf32>, %o: memref<?x6x40xf32>)
    attributes {moe.isa = "v4"} {
  moe.attention ins(%q, %cu, %past, %slot : memref<?x6x40xf32>, !ids, !ids, !ids)
    cache(%k, %v at %l : !cache) lengths(%lengths : !ids) bias(%bias : memref<6x9xf32>)
    outs(%o : memref<?x6x40xf32>) {scale = 0.158 : f32}
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
