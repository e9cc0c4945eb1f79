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
  %y = moe.grouped_matmul packed f32 ins(%x, %w : tensor<?x160xf32>, tensor<3x160x32xf32>)
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

// Each expert's vector is added to its rows, in place.
// CHECK-LABEL: func @group_add(
// CHECK-SAME:    %[[YS:[^:]*]]: tensor<?x96xf32>, %[[BIAS:[^:]*]]: tensor<16x96xbf16>
func.func @group_add(%ys: tensor<?x96xf32>, %bias: tensor<16x96xbf16>, %offsets: tensor<17xi32>) -> tensor<?x96xf32> {
  // CHECK: scf.for %[[E:.*]] = {{.*}} iter_args(%[[OUT:.*]] = %[[YS]])
  // CHECK:   %[[ROWS:.*]] = tensor.extract_slice %[[OUT]]
  // CHECK:   %[[OWN:.*]] = tensor.extract_slice %[[BIAS]][%[[E]], 0] [1, 96] [1, 1]
  // CHECK:   %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[OWN]] : {{.*}}) outs(%[[ROWS]]
  // CHECK:   tensor.insert_slice %[[SUM]] into %[[OUT]]
  %z = moe.group_add %ys, %bias by %offsets : tensor<?x96xf32>, tensor<16x96xbf16>, tensor<17xi32>
  return %z : tensor<?x96xf32>
}

// The activation of gpt-oss: limits first, then the offset of up.
// CHECK-LABEL: func @glu_clauses(
func.func @glu_clauses(%g: tensor<?x96xf32>, %u: tensor<?x96xf32>) -> tensor<?x96xf32> {
  // CHECK: ^bb0(%[[G:.*]]: f32, %[[U:.*]]: f32, %{{.*}}: f32):
  // CHECK:   %[[GATE:.*]] = arith.minimumf %[[G]]
  // CHECK:   %[[MINUS:.*]] = arith.negf %[[GATE]]
  // CHECK:   %[[SCALED:.*]] = arith.mulf %[[MINUS]]
  // CHECK:   math.exp %[[SCALED]]
  // CHECK:   %[[ACT:.*]] = arith.divf %[[GATE]]
  // CHECK:   %[[UP_MOST:.*]] = arith.minimumf %[[U]]
  // CHECK:   %[[UP:.*]] = arith.maximumf %[[UP_MOST]]
  // CHECK:   %[[SHIFTED:.*]] = arith.addf %[[UP]]
  // CHECK:   arith.mulf %[[ACT]], %[[SHIFTED]]
  %h = moe.glu swiglu %g, %u alpha 1.702 offset 1.0 limit 7.0 : tensor<?x96xf32>
  return %h : tensor<?x96xf32>
}

// CHECK-LABEL: func @ungated(
func.func @ungated(%g: tensor<?x96xf32>) -> tensor<?x96xf32> {
  // CHECK: ^bb0(%[[G:.*]]: f32, %{{.*}}: f32):
  // CHECK:   %[[RELU:.*]] = arith.maximumf %[[G]]
  // CHECK:   arith.mulf %[[RELU]], %[[RELU]]
  %h = moe.glu relu2 %g : tensor<?x96xf32>
  return %h : tensor<?x96xf32>
}

// One loop for each segment; the second one reads offsets from the third expert on. The number of rows is bounded for
// the sake of the body's buffers.
// CHECK-LABEL: func @experts(
// CHECK-SAME:    %[[XS:[^:]*]]: tensor<?x160xf32>, %[[OFFSETS:[^:]*]]: tensor<5xi32>
func.func @experts(%xs: tensor<?x160xf32>, %offsets: tensor<5xi32>) -> tensor<?x160xf32> {
  // CHECK: %[[TOTAL:.*]] = tensor.dim %[[XS]]
  // CHECK: %[[FIRST:.*]] = scf.for
  // CHECK:   %[[COUNT:.*]] = arith.minsi %{{.*}}, %[[TOTAL]]
  // CHECK:   %[[ROWS:.*]] = tensor.extract_slice %[[XS]][%{{.*}}, 0] [%[[COUNT]], 160]
  // CHECK:   %[[DOUBLE:.*]] = linalg.generic {{.*}} ins(%[[ROWS]]
  // CHECK:   tensor.insert_slice %[[DOUBLE]]
  // CHECK: scf.for %[[E:.*]] = {{.*}} iter_args(%{{.*}} = %[[FIRST]])
  // CHECK:   %[[BASE:.*]] = arith.constant 2 : index
  // CHECK:   %[[AT:.*]] = arith.addi %[[E]], %[[BASE]]
  // CHECK:   tensor.extract %[[OFFSETS]][%[[AT]]]
  // CHECK:   %[[ROWS:.*]] = tensor.extract_slice %[[XS]]
  // CHECK:   tensor.insert_slice %[[ROWS]]
  %ys = moe.experts %xs by %offsets segments [2, 2] : tensor<?x160xf32>, tensor<5xi32> -> tensor<?x160xf32> {
  ^bb0(%rows: tensor<?x160xf32>, %e: index):
    %h = moe.glu swiglu %rows, %rows : tensor<?x160xf32>
    moe.yield %h : tensor<?x160xf32>
  }, {
  ^bb0(%rows: tensor<?x160xf32>, %e: index):
    moe.yield %rows : tensor<?x160xf32>
  }
  return %ys : tensor<?x160xf32>
}

// Slot s of group b is row s * B + b.
// CHECK-LABEL: func @soft(
// CHECK-SAME:    %[[X:[^:]*]]: tensor<?x160xf32>, %[[D:[^:]*]]: tensor<?x32xf32>, %[[CU:[^:]*]]: tensor<?xi32>
func.func @soft(%x: tensor<?x160xf32>, %d: tensor<?x32xf32>, %cu: tensor<?xi32>) -> tensor<?x160xf32> {
  // CHECK: scf.for %[[B:.*]] = {{.*}} iter_args(%[[OUT:.*]] =
  // CHECK:   %[[GROUPS:.*]] = arith.subi
  // CHECK:   tensor.extract_slice %[[OUT]][%[[B]], 0] [32, 160] [%{{.*}}, 1]
  // CHECK:   linalg.generic {{.*}} iterator_types = ["parallel", "reduction", "parallel"]}
  %xs = moe.soft_dispatch %x, %d of(%cu : tensor<?xi32>) : tensor<?x160xf32>, tensor<?x32xf32>
  // CHECK: scf.for
  // CHECK:   linalg.generic {{.*}} iterator_types = ["parallel", "reduction", "parallel"]}
  %y = moe.soft_combine %xs, %d of(%cu : tensor<?xi32>) : tensor<?x160xf32>, tensor<?x32xf32>
  return %y : tensor<?x160xf32>
}
