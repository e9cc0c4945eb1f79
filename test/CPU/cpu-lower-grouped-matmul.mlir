// RUN: moe-opt %s --moe-cpu-lower-grouped-matmul --canonicalize | FileCheck %s

// Rows are packed in tiles, then blocks of rows meet chunks of 4 panels.
// CHECK-LABEL: func @dense(
// CHECK-SAME:    %[[X:[^ ]*]]: memref<?x160xf32>, %[[W:[^ ]*]]: memref<9x160x32xf32>, %[[Y:[^ ]*]]: memref<?x259xf32>
func.func @dense(%x: memref<?x160xf32>, %w: memref<9x160x32xf32>, %y: memref<?x259xf32>) attributes {moe.isa = "v4"} {
  // CHECK:     %[[PACKED:.*]] = memref.alloc(%{{.*}}) : memref<?xf32>
  // CHECK:     scf.parallel
  // CHECK:       %[[ROW:.*]] = vector.transfer_read %[[X]]{{.*}} {in_bounds = [true]} : memref<?x160xf32>, vector<16xf32>
  // CHECK:       vector.scatter %[[PACKED]][%{{.*}}] [%{{.*}}], %{{.*}}, %[[ROW]]
  // CHECK:     scf.parallel
  // One row meets 4 panels at once.
  // CHECK:       %[[PANELS:.*]] = memref.subview %[[W]][%{{.*}}, 0, 0] [4, 160, 32] [1, 1, 1]
  // CHECK:       %[[ACC:.*]] = moe.panel_matmul %{{.*}}, %[[PANELS]] : {{.*}} -> vector<4x1x2x16xf32>
  // The last panel has 3 columns.
  // CHECK:       vector.transfer_write %{{.*}}, %[[Y]][%{{.*}}, %{{.*}}] : vector<16xf32>, memref<?x259xf32>
  // CHECK:       moe.panel_matmul {{.*}} -> vector<1x1x2x16xf32>
  // CHECK:       moe.panel_matmul {{.*}} -> vector<4x2x2x16xf32>
  // CHECK:       moe.panel_matmul {{.*}} -> vector<2x4x2x16xf32>
  // More rows prefetch the next panel.
  // CHECK:       %[[FLAT:.*]] = memref.collapse_shape %[[W]]
  // CHECK:       moe.panel_matmul %{{.*}}, %{{.*}} ahead %[[FLAT]][%{{.*}} by %{{.*}}] {{.*}} -> vector<1x12x2x16xf32>
  // CHECK-NOT: moe.grouped_matmul
  moe.grouped_matmul packed f32 ins(%x, %w : memref<?x160xf32>, memref<9x160x32xf32>) outs(%y : memref<?x259xf32>)
  return
}

// Blocks of groups are a list: group, first row, rows, first packed row.
// CHECK-LABEL: func @grouped(
// CHECK-SAME:    memref<?x64xf32>, %[[W:[^ ]*]]: memref<4x1x2x2x16x16x2xbf16>, %[[OFFSETS:[^ ]*]]: memref<5xi32>
func.func @grouped(%x: memref<?x64xf32>, %w: memref<4x1x2x2x16x16x2xbf16>, %offsets: memref<5xi32>, %y: memref<?x32xf32>) attributes {moe.isa = "v3"} {
  // CHECK:         %[[LIST:.*]] = memref.alloc(%{{.*}}) : memref<?x4xi32>
  // CHECK:         scf.for
  // CHECK:           memref.load %[[OFFSETS]]
  // CHECK-COUNT-4:   memref.store %{{.*}}, %[[LIST]]
  // CHECK:         memref.subview %[[W]][%{{.*}}, %{{.*}}, 0, 0, 0, 0, 0] [1, 1, 2, 2, 16, 16, 2]
  // CHECK:         moe.panel_matmul {{.*}} -> vector<1x6x4x8xf32>
  moe.grouped_matmul packed bf16 ins(%x, %w : memref<?x64xf32>, memref<4x1x2x2x16x16x2xbf16>)
    offsets(%offsets : memref<5xi32>) outs(%y : memref<?x32xf32>)
  return
}
