// RUN: moe-opt %s --moe-cpu-pack-weights=format=q4_0 -split-input-file -verify-diagnostics | FileCheck %s

// Another type than their own: bytes, a panel after the other.
// CHECK:      moe.parameter @w : tensor<4x64x160xbf16> from
// CHECK-NEXT: moe.parameter @w.packed : tensor<4x2x2880xi8> pack q4_0 of [@w]
// expected-remark @below {{packs as q4_0: an element changes by up to 0.1256 of the largest magnitude of 32}}
moe.parameter @w : tensor<4x64x160xbf16> from "layers.{0}.weight"
// CHECK-LABEL: func @dense(
func.func @dense(%l: index, %x: tensor<?x160xf32>, %init: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // CHECK-NEXT: %[[W:.*]] = moe.load_parameter @w.packed[%{{.*}}] : tensor<2x2880xi8>
  // CHECK-NEXT: moe.grouped_matmul packed q4_0 ins(%{{.*}}, %[[W]] :
  %w = moe.load_parameter @w[%l] : tensor<64x160xbf16>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x160xf32>, tensor<64x160xbf16>)
         outs(%init : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// An inner size of 24 is not that of the panels, which have room for 32.
// CHECK: moe.parameter @gate_up.packed : tensor<4x2x576xi8> pack q4_0 of [@gate, @up]
// CHECK: moe.parameter @down.packed : tensor<4x1x576xi8> pack q4_0 of [@down]
moe.parameter @gate : tensor<4x24x8xf32> from "{0}.gate"
// expected-remark @below {{packs as q4_0}}
moe.parameter @up : tensor<4x24x8xf32> from "{0}.up"
// expected-remark @below {{packs as q4_0}}
moe.parameter @down : tensor<4x8x24xf32> from "{0}.down"
// CHECK-LABEL: func @ffn(
func.func @ffn(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %init: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // CHECK: moe.expert_ffn swiglu packed q4_0 inner 24 ins(
  %gate = moe.load_parameter @gate : tensor<4x24x8xf32>
  %up = moe.load_parameter @up : tensor<4x24x8xf32>
  %down = moe.load_parameter @down : tensor<4x8x24xf32>
  %y = moe.expert_ffn swiglu ins(%x, %idx, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
         weights(%gate, %up, %down : tensor<4x24x8xf32>, tensor<4x24x8xf32>, tensor<4x8x24xf32>)
         outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

// A router stays as it is, also where arithmetic stands between it and the choice; of one weight with two uses, one
// packed parameter is made for each format.
// CHECK-DAG: moe.parameter @w.packed : tensor<1x32x32xf32> pack of [@w]
// CHECK-DAG: moe.parameter @w.packed_0 : tensor<1x576xi8> pack q4_0 of [@w]
// expected-remark @below {{packs as q4_0}}
moe.parameter @w : tensor<16x32xf32> from "w"
// CHECK-LABEL: func @router(
func.func @router(%x: tensor<?x32xf32>, %init: tensor<?x16xf32>) -> (tensor<?x4xi32>, tensor<?x16xf32>) {
  // CHECK: moe.load_parameter @w.packed :
  // CHECK: moe.grouped_matmul packed f32 ins(
  // CHECK: moe.load_parameter @w.packed_0 :
  // CHECK: moe.grouped_matmul packed q4_0 ins(
  %w = moe.load_parameter @w : tensor<16x32xf32>
  %logits = moe.grouped_matmul ins(%x, %w : tensor<?x32xf32>, tensor<16x32xf32>)
              outs(%init : tensor<?x16xf32>) -> tensor<?x16xf32>
  %bounded = linalg.tanh ins(%logits : tensor<?x16xf32>) outs(%init : tensor<?x16xf32>) -> tensor<?x16xf32>
  %scores = moe.score sigmoid %bounded : tensor<?x16xf32>
  %idx = moe.select %scores top 4 : tensor<?x16xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x32xf32>, tensor<16x32xf32>)
         outs(%init : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %idx, %y : tensor<?x4xi32>, tensor<?x16xf32>
}
