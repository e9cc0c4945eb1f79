// RUN: moe-opt %s --moe-lower-attention | FileCheck %s

// Row r of sequence b goes to position past[b] + r - cu[b] of the sequence's slot.
// CHECK-LABEL: func @cache_update(
// CHECK-SAME:    %[[K:[^:]*]]: memref<?x4x40xf32>, %[[CU:[^:]*]]: memref<?xi32>, %[[PAST:[^:]*]]: memref<?xi32>, %[[SLOT:[^:]*]]: memref<?xi32>, %[[CACHE:[^:]*]]: memref<4x?x4x?x40xf32>, %[[L:[^:]*]]: index
func.func @cache_update(%k: memref<?x4x40xf32>, %cu: memref<?xi32>, %past: memref<?xi32>, %slot: memref<?xi32>,
                        %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // CHECK: %[[B:.*]] = memref.dim %[[PAST]]
  // CHECK: scf.for %[[S:.*]] = %{{.*}} to %[[B]]
  // CHECK:   memref.load %[[CU]][%[[S]]]
  // CHECK:   %[[FIRST:.*]] = arith.index_cast
  // CHECK:   memref.load %[[CU]]
  // CHECK:   %[[END:.*]] = arith.index_cast
  // CHECK:   memref.load %[[PAST]][%[[S]]]
  // CHECK:   %[[CACHED:.*]] = arith.index_cast
  // CHECK:   memref.load %[[SLOT]][%[[S]]]
  // CHECK:   %[[AT:.*]] = arith.index_cast
  // CHECK:   scf.for %[[ROW:.*]] = %[[FIRST]] to %[[END]]
  // CHECK:     %[[LOCAL:.*]] = arith.subi %[[ROW]], %[[FIRST]]
  // CHECK:     %[[POSITION:.*]] = arith.addi %[[CACHED]], %[[LOCAL]]
  // CHECK:     %[[VALUE:.*]] = memref.load %[[K]][%[[ROW]], %[[H:.*]], %[[D:.*]]]
  // CHECK:     memref.store %[[VALUE]], %[[CACHE]][%[[L]], %[[AT]], %[[H]], %[[POSITION]], %[[D]]]
  moe.cache_update %k, %cu, %past, %slot into %cache[%l]
    : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<4x?x4x?x40xf32>
  return
}

// A row sees every position up to its own: the maximum of its scores, then exponentials, their sum and the sum of
// values, then a division.
// CHECK-LABEL: func @attention(
// CHECK-SAME:    %[[Q:[^:]*]]: memref<?x8x40xf32>
// CHECK-SAME:    %[[K:[^:]*]]: memref<4x?x4x?x40xf32>, %[[V:[^:]*]]: memref<4x?x4x?x40xf32>, %[[L:[^:]*]]: index, %[[O:[^:]*]]: memref<?x8x40xf32>
func.func @attention(%q: memref<?x8x40xf32>, %cu: memref<?xi32>, %past: memref<?xi32>, %slot: memref<?xi32>,
                     %k: memref<4x?x4x?x40xf32>, %v: memref<4x?x4x?x40xf32>, %l: index, %o: memref<?x8x40xf32>) {
  // CHECK: %[[LOCAL:.*]] = arith.subi
  // CHECK: %[[POSITION:.*]] = arith.addi %{{.*}}, %[[LOCAL]]
  // CHECK: %[[END:.*]] = arith.addi %[[POSITION]], %c1
  // CHECK: %[[MAX:.*]] = scf.for %[[J:.*]] = %c0{{.*}} to %[[END]]
  // CHECK:   memref.load %[[Q]]
  // CHECK:   memref.load %[[K]][%[[L]], %{{.*}}, %{{.*}}, %[[J]], %{{.*}}]
  // CHECK:   arith.maximumf
  // CHECK: %[[SUM:.*]] = scf.for %[[J:.*]] = %c0{{.*}} to %[[END]]
  // CHECK:   memref.load %[[K]][%[[L]], %{{.*}}, %{{.*}}, %[[J]], %{{.*}}]
  // CHECK:   %[[SHIFTED:.*]] = arith.subf %{{.*}}, %[[MAX]]
  // CHECK:   %[[P:.*]] = math.exp %[[SHIFTED]]
  // CHECK:   memref.load %[[V]][%[[L]], %{{.*}}, %{{.*}}, %[[J]], %{{.*}}]
  // CHECK:   arith.mulf %[[P]]
  // CHECK: arith.divf %{{.*}}, %[[SUM]]
  // CHECK: memref.store %{{.*}}, %[[O]]
  moe.attention ins(%q, %cu, %past, %slot : memref<?x8x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%k, %v at %l : memref<4x?x4x?x40xf32>) outs(%o : memref<?x8x40xf32>) {scale = 0.125 : f32}
  return
}

// Query heads share the key head with their number divided by heads / kv.
// CHECK-LABEL: func @grouped_heads(
func.func @grouped_heads(%q: memref<?x8x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // CHECK: scf.for %[[HEAD:.*]] = %{{.*}} to %c8
  // CHECK: %[[SHARE:.*]] = arith.constant 2 : index
  // CHECK: %[[KV:.*]] = arith.divui %[[HEAD]], %[[SHARE]]
  // CHECK: memref.load %{{.*}}[%{{.*}}, %{{.*}}, %[[KV]], %{{.*}}, %{{.*}}] : memref<4x?x4x?x40xf32>
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x8x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x8x40xf32>) {scale = 0.125 : f32}
  return
}

// A window of w starts w positions before the end, or at 0.
// CHECK-LABEL: func @window(
func.func @window(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // CHECK: %[[START:.*]] = arith.subi %[[END:.*]], %c8
  // CHECK: %[[BEGIN:.*]] = arith.maxsi %[[START]], %c0
  // CHECK: scf.for %{{.*}} = %[[BEGIN]] to %[[END]]
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x4x40xf32>)
    {scale = 0.125 : f32, window = 8 : i64}
  return
}

// A chunk of c starts at the last multiple of c.
// CHECK-LABEL: func @chunk(
func.func @chunk(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // CHECK: %[[LOCAL:.*]] = arith.subi
  // CHECK: %[[POSITION:.*]] = arith.addi %{{.*}}, %[[LOCAL]]
  // CHECK: %[[END:.*]] = arith.addi %[[POSITION]], %{{c1.*}}
  // CHECK: %[[NUMBER:.*]] = arith.divui %[[POSITION]], %[[C8:.*]] : index
  // CHECK: %[[START:.*]] = arith.muli %[[NUMBER]], %[[C8]]
  // CHECK: %[[BEGIN:.*]] = arith.maxsi %[[START]], %c0
  // CHECK: scf.for %{{.*}} = %[[BEGIN]] to %[[END]]
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x4x40xf32>)
    {scale = 0.125 : f32, chunk = 8 : i64}
  return
}

// A score is divided by the cap, and its tanh multiplied by it.
// CHECK-LABEL: func @softcap(
func.func @softcap(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // CHECK: %[[PART:.*]] = arith.divf %{{.*}}, %[[CAP:.*]] : f32
  // CHECK: %[[TANH:.*]] = math.tanh %[[PART]]
  // CHECK: arith.mulf %[[CAP]], %[[TANH]]
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x4x40xf32>)
    {scale = 0.125 : f32, softcap = 50.0 : f32}
  return
}

// The maximum starts at the sink, and the sum at its exponential.
// CHECK-LABEL: func @sinks(
// CHECK-SAME:    %[[SINKS:[^:]*]]: memref<4xbf16>
func.func @sinks(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index,
                 %sinks: memref<4xbf16>) {
  // CHECK: scf.for %[[HEAD:.*]] = %{{.*}} to %c4
  // CHECK: %[[NARROW:.*]] = memref.load %[[SINKS]][%[[HEAD]]]
  // CHECK: %[[SINK:.*]] = arith.extf %[[NARROW]]
  // CHECK: %[[MAX:.*]] = scf.for {{.*}} iter_args(%{{.*}} = %[[SINK]])
  // CHECK: %[[SHIFTED:.*]] = arith.subf %[[SINK]], %[[MAX]]
  // CHECK: %[[FIRST:.*]] = math.exp %[[SHIFTED]]
  // CHECK: scf.for {{.*}} iter_args(%{{.*}} = %[[FIRST]])
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) sinks(%sinks : memref<4xbf16>)
    outs(%q : memref<?x4x40xf32>) {scale = 0.125 : f32}
  return
}

// Every row of a sequence sees the positions below its length.
// CHECK-LABEL: func @lengths(
// CHECK-SAME:    %[[LENGTHS:[^:]*]]: memref<?xi32>)
func.func @lengths(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index,
                   %lengths: memref<?xi32>) {
  // CHECK: scf.for %[[S:.*]] = %c0 to
  // CHECK: memref.load %[[LENGTHS]][%[[S]]]
  // CHECK: %[[END:.*]] = arith.index_cast
  // CHECK: scf.for %{{.*}} = %{{.*}} to %[[END]]
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) lengths(%lengths : memref<?xi32>)
    outs(%q : memref<?x4x40xf32>) {scale = 0.125 : f32}
  return
}

// A score gets the bias of its distance, clamped to -4..4.
// CHECK-LABEL: func @bias(
// CHECK-SAME:    %[[BIAS:[^:]*]]: memref<4x9xf32>
func.func @bias(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index,
                %bias: memref<4x9xf32>) {
  // CHECK: scf.for %[[HEAD:.*]] = %{{.*}} to %c4
  // CHECK: %[[DISTANCE:.*]] = arith.subi %{{.*}}, %[[POSITION:.*]] : index
  // CHECK: %[[COLUMN:.*]] = arith.addi %[[DISTANCE]], %c4
  // CHECK: %[[LOW:.*]] = arith.maxsi %[[COLUMN]], %c0
  // CHECK: %[[HIGH:.*]] = arith.minsi %[[LOW]], %c8
  // CHECK: %[[B:.*]] = memref.load %[[BIAS]][%[[HEAD]], %[[HIGH]]]
  // CHECK: arith.addf %{{.*}}, %[[B]]
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) bias(%bias : memref<4x9xf32>)
    outs(%q : memref<?x4x40xf32>) {scale = 0.125 : f32}
  return
}
