// RUN: moe-opt %s --moe-lower-experts | FileCheck %s

// CHECK-DAG: #[[RK:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[NK:.*]] = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-DAG: #[[RN:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>

// Row p is token perm[p] / k; a row without a token reads the first one.
// CHECK-LABEL: func @dispatch(
// CHECK-SAME:    %[[X:[^:]*]]: tensor<?x160xf32>, %[[PERM:[^:]*]]: tensor<?xi32>
func.func @dispatch(%x: tensor<?x160xf32>, %perm: tensor<?xi32>) -> tensor<?x160xf32> {
  // CHECK: linalg.generic {{.*}} ins(%[[PERM]]
  // CHECK: ^bb0(%[[FLAT:.*]]: i32, %{{.*}}: f32):
  // CHECK:   %[[CLAMPED:.*]] = arith.maxsi %[[FLAT]]
  // CHECK:   %[[SLOT:.*]] = arith.index_cast %[[CLAMPED]]
  // CHECK:   %[[K:.*]] = arith.constant 4
  // CHECK:   %[[TOKEN:.*]] = arith.divui %[[SLOT]], %[[K]]
  // CHECK:   tensor.extract %[[X]][%[[TOKEN]],
  %xs = moe.dispatch %x by %perm top 4 : tensor<?x160xf32>, tensor<?xi32>
  return %xs : tensor<?x160xf32>
}

// Each expert multiplies the slice of rows between its offsets and writes that of the destination.
// CHECK-LABEL: func @grouped_matmul(
// CHECK-SAME:    %[[X:[^:]*]]: tensor<?x160xf32>, %[[W:[^:]*]]: tensor<16x96x160xf32>, %[[OFFSETS:[^:]*]]: tensor<17xi32>, %[[INIT:[^:]*]]: tensor<?x96xf32>
func.func @grouped_matmul(%xs: tensor<?x160xf32>, %w: tensor<16x96x160xf32>, %offsets: tensor<17xi32>,
                          %init: tensor<?x96xf32>) -> tensor<?x96xf32> {
  // CHECK: scf.for %[[E:.*]] = %{{.*}} iter_args(%[[OUT:.*]] = %[[INIT]])
  // CHECK:   %[[BEGIN:.*]] = tensor.extract %[[OFFSETS]][%[[E]]]
  // CHECK:   %[[FIRST:.*]] = arith.index_cast %[[BEGIN]]
  // CHECK:   %[[COUNT:.*]] = arith.subi %{{.*}}, %[[FIRST]]
  // CHECK:   %[[ROWS:.*]] = tensor.extract_slice %[[X]][%[[FIRST]], 0] [%[[COUNT]], 160]
  // CHECK:   %[[TO:.*]] = tensor.extract_slice %[[OUT]][%[[FIRST]], 0] [%[[COUNT]], 96]
  // CHECK:   %[[MATRIX:.*]] = tensor.extract_slice %[[W]][%[[E]], 0, 0] [1, 96, 160]
  // CHECK:   %[[ZERO:.*]] = linalg.fill {{.*}} outs(%[[TO]]
  // CHECK:   %[[Y:.*]] = linalg.generic {{.*}} ins(%[[ROWS]], %[[MATRIX]] : {{.*}}) outs(%[[ZERO]]
  // CHECK:   %[[NEXT:.*]] = tensor.insert_slice %[[Y]] into %[[OUT]][%[[FIRST]], 0] [%[[COUNT]], 96]
  // CHECK:   scf.yield %[[NEXT]]
  %y = moe.grouped_matmul ins(%xs, %w : tensor<?x160xf32>, tensor<16x96x160xf32>) offsets(%offsets : tensor<17xi32>)
         outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return %y : tensor<?x96xf32>
}

// Without offsets there is one product; a weight in bf16 is extended, and sums are in f32 with k ascending.
// CHECK-LABEL: func @dense_bf16(
func.func @dense_bf16(%x: tensor<?x160xf32>, %w: tensor<96x160xbf16>, %init: tensor<?x96xf32>) -> tensor<?x96xf32> {
  // CHECK-NOT: scf.for
  // CHECK: linalg.generic {indexing_maps = [#[[RK]], #[[NK]], #[[RN]]], iterator_types = ["parallel", "parallel", "reduction"]}
  // CHECK: ^bb0(%[[X:.*]]: f32, %[[W:.*]]: bf16, %[[SUM:.*]]: f32):
  // CHECK:   %[[EXTENDED:.*]] = arith.extf %[[W]]
  // CHECK:   %[[PRODUCT:.*]] = arith.mulf %[[X]], %[[EXTENDED]]
  // CHECK:   arith.addf %[[SUM]], %[[PRODUCT]]
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x160xf32>, tensor<96x160xbf16>)
         outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return %y : tensor<?x96xf32>
}

// Packed weights are left to the target's kernels.
// CHECK-LABEL: func @packed(
func.func @packed(%x: tensor<?x160xf32>, %w: tensor<3x160x32xf32>, %init: tensor<?x96xf32>) -> tensor<?x96xf32> {
  // CHECK: moe.grouped_matmul packed
  %y = moe.grouped_matmul packed ins(%x, %w : tensor<?x160xf32>, tensor<3x160x32xf32>)
         outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return %y : tensor<?x96xf32>
}

// CHECK-LABEL: func @glu(
func.func @glu(%g: tensor<?x96xf32>, %u: tensor<?x96xf32>) -> tensor<?x96xf32> {
  // CHECK: ^bb0(%[[G:.*]]: f32, %[[U:.*]]: f32, %{{.*}}: f32):
  // CHECK:   %[[MINUS:.*]] = arith.negf %[[G]]
  // CHECK:   %[[EXP:.*]] = math.exp %[[MINUS]]
  // CHECK:   %[[SUM:.*]] = arith.addf %{{.*}}, %[[EXP]]
  // CHECK:   %[[SILU:.*]] = arith.divf %[[G]], %[[SUM]]
  // CHECK:   arith.mulf %[[SILU]], %[[U]]
  %h = moe.glu swiglu %g, %u : tensor<?x96xf32>
  return %h : tensor<?x96xf32>
}

// Slots are added in order; one without a row leaves the sum as it is.
// CHECK-LABEL: func @combine(
// CHECK-SAME:    %[[YS:[^:]*]]: tensor<?x160xf32>
func.func @combine(%ys: tensor<?x160xf32>, %row: tensor<?x4xi32>, %w: tensor<?x4xf32>) -> tensor<?x160xf32> {
  // CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "reduction", "parallel"]}
  // CHECK: ^bb0(%[[ROW:.*]]: i32, %[[W:.*]]: f32, %[[SUM:.*]]: f32):
  // CHECK:   %[[Y:.*]] = tensor.extract %[[YS]]
  // CHECK:   %[[TERM:.*]] = arith.mulf %[[W]], %[[Y]]
  // CHECK:   %[[NEXT:.*]] = arith.addf %[[SUM]], %[[TERM]]
  // CHECK:   %[[ROUTED:.*]] = arith.cmpi sge, %[[ROW]]
  // CHECK:   arith.select %[[ROUTED]], %[[NEXT]], %[[SUM]]
  %y = moe.combine %ys, %row, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>
  return %y : tensor<?x160xf32>
}
