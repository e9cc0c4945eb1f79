// RUN: moe-opt %s --moe-cpu-lower-grouped-matmul --canonicalize | FileCheck %s

// Each thread takes chunks of 256 rows and some panels, and packs the rows unless it has them.
// CHECK-LABEL: func @dense(
// CHECK-SAME:    %[[X:[^ ]*]]: memref<?x160xf32>, %[[W:[^ ]*]]: memref<9x160x32xf32>, %[[Y:[^ ]*]]: memref<?x259xf32>
func.func @dense(%x: memref<?x160xf32>, %w: memref<9x160x32xf32>, %y: memref<?x259xf32>) attributes {moe.isa = "v4"} {
  // CHECK:     %[[FLAT:.*]] = memref.collapse_shape %[[W]]
  // CHECK:     %[[ALL:.*]] = memref.cast %[[FLAT]] : memref<46080xf32> to memref<?xf32>
  // CHECK:     %[[THREADS:.*]] = moe.num_threads
  // CHECK:     %[[SUMS:.*]] = memref.alloc(%{{.*}}) : memref<?xf32>
  // CHECK:     %[[PACKED:.*]] = memref.alloc(%{{.*}}) : memref<?xi8>
  // CHECK:     %[[TAKEN:.*]] = memref.alloc() : memref<i64>
  // CHECK:     scf.parallel
  // CHECK:       memref.atomic_rmw addi %{{.*}}, %[[TAKEN]][]
  // CHECK:       scf.while
  // CHECK:         %[[NEXT:.*]] = memref.atomic_rmw addi
  // CHECK:         scf.if
  // CHECK:           %[[FLOATS:.*]] = memref.view %[[PACKED]]
  // CHECK:           %[[ROW:.*]] = vector.transfer_read %[[X]]{{.*}} {in_bounds = [true]} : memref<?x160xf32>, vector<16xf32>
  // CHECK:           vector.scatter %[[FLOATS]][%{{.*}}] [%{{.*}}], %{{.*}}, %[[ROW]]
  // CHECK:         scf.for
  // CHECK:           moe.panel_matmul f32 rows(%[[PACKED]][%{{.*}}] count %{{.*}} : memref<?xi8>) depth 160 k(%{{.*}} to %{{.*}}) panel(%[[ALL]][%{{[^]]*}}] : memref<?xf32>)
  // CHECK-SAME:        into(%[[SUMS]]
  // The last panel has 3 columns.
  // CHECK:           vector.transfer_write %{{.*}}, %[[Y]][%{{.*}}, %{{.*}}] : vector<16xf32>, memref<?x259xf32>
  // CHECK:         scf.yield %[[NEXT]]
  // CHECK-NOT: moe.grouped_matmul
  moe.grouped_matmul packed f32 ins(%x, %w : memref<?x160xf32>, memref<9x160x32xf32>) outs(%y : memref<?x259xf32>)
  return
}

// Chunks of groups are a list: group, first row, rows.
// CHECK-LABEL: func @grouped(
// CHECK-SAME:    memref<?x64xf32>, %[[W:[^ ]*]]: memref<4x1x2x2x16x16x2xbf16>, %[[OFFSETS:[^ ]*]]: memref<5xi32>
func.func @grouped(%x: memref<?x64xf32>, %w: memref<4x1x2x2x16x16x2xbf16>, %offsets: memref<5xi32>, %y: memref<?x32xf32>) attributes {moe.isa = "v3"} {
  // CHECK:         %[[LIST:.*]] = memref.alloc(%{{.*}}) : memref<?x3xi32>
  // CHECK:         scf.for
  // CHECK:           memref.load %[[OFFSETS]]
  // CHECK-COUNT-3:   memref.store %{{.*}}, %[[LIST]]
  // CHECK:         moe.panel_matmul bf16 rows({{.*}} : memref<?xi8>) depth 64
  moe.grouped_matmul packed bf16 ins(%x, %w : memref<?x64xf32>, memref<4x1x2x2x16x16x2xbf16>)
    offsets(%offsets : memref<5xi32>) outs(%y : memref<?x32xf32>)
  return
}

// Rows for AMX are bf16, a step of 32 elements after another.
// CHECK-LABEL: func @amx(
func.func @amx(%x: memref<?x64xf32>, %w: memref<1x2x2x16x16x2xbf16>, %y: memref<?x32xf32>) attributes {moe.isa = "amx"} {
  // CHECK: %[[BF16:.*]] = arith.truncf %{{.*}} : vector<32xf32> to vector<32xbf16>
  // CHECK: vector.store %[[BF16]]
  // CHECK: moe.panel_matmul bf16 compute bf16 rows({{.*}} : memref<?xi8>) depth 64
  moe.grouped_matmul packed bf16 compute bf16 ins(%x, %w : memref<?x64xf32>, memref<1x2x2x16x16x2xbf16>)
    outs(%y : memref<?x32xf32>)
  return
}

// Groups of 32 elements have a scale and a correction.
// CHECK-LABEL: func @int8(
func.func @int8(%x: memref<?x64xf32>, %w: memref<1x1152xi8>, %y: memref<?x32xf32>) attributes {moe.isa = "vnni"} {
  // CHECK:     %[[ROW:.*]] = vector.transfer_read {{.*}} vector<32xf32>
  // CHECK:     %[[MAX:.*]] = vector.reduction <maximumf>
  // CHECK:     math.roundeven
  // CHECK:     %[[INTS:.*]] = arith.fptosi
  // CHECK:     %[[SUM:.*]] = vector.reduction <add>, %[[INTS]]
  // CHECK:     vector.scatter {{.*}} vector<8xi32>
  // CHECK:     %[[SCALE:.*]] = arith.mulf %[[MAX]]
  // CHECK:     memref.store %[[SCALE]]
  // CHECK:     %[[CORRECTION:.*]] = arith.muli %[[SUM]], %c-8
  // CHECK:     memref.store %[[CORRECTION]]
  // CHECK:     moe.panel_matmul q4_0 compute int8
  moe.grouped_matmul packed q4_0 compute int8 ins(%x, %w : memref<?x64xf32>, memref<1x1152xi8>)
    outs(%y : memref<?x32xf32>)
  return
}

// Of rows that L2 cannot hold, a range of k at a time with 16 panels, whose sums are stored when all ranges are done.
// CHECK-LABEL: func @ranges(
func.func @ranges(%x: memref<?x7168xf32>, %w: memref<40x7168x32xf32>, %y: memref<?x1280xf32>) attributes {moe.isa = "v4"} {
  // CHECK-DAG: %[[ALL:.*]] = arith.constant 7168 : index
  // CHECK-DAG: %[[PART:.*]] = arith.constant 1024 : index
  // CHECK-DAG: %[[PANELS:.*]] = arith.constant 16 : index
  // CHECK:     %[[STEP:.*]] = arith.select %{{.*}}, %[[ALL]], %[[PART]]
  // CHECK:     scf.for %[[FIRST:.*]] = %{{.*}} to %[[END:.*]] step %[[PANELS]]
  // CHECK:       arith.addi %[[FIRST]], %[[PANELS]]
  // CHECK:       scf.for %[[LOWER:.*]] = %c0 to %[[ALL]] step %[[STEP]]
  // CHECK:         scf.for %{{.*}} = %[[FIRST]] to %{{.*}} step %c1
  // CHECK:           moe.panel_matmul {{.*}} k(%[[LOWER]] to %{{.*}})
  // CHECK:       scf.for %{{.*}} = %[[FIRST]] to %{{.*}} step %c1
  // CHECK:         vector.transfer_write
  moe.grouped_matmul packed f32 ins(%x, %w : memref<?x7168xf32>, memref<40x7168x32xf32>) outs(%y : memref<?x1280xf32>)
  return
}
