// RUN: moe-opt %s --moe-cpu-pack-weights -split-input-file -verify-diagnostics | FileCheck %s

// A dense projection: the source stays, the packed parameter stands behind it.
// CHECK:      moe.parameter @w : tensor<4x64x160xbf16> from
// CHECK-NEXT: moe.parameter @w.packed : tensor<4x2x5x2x16x16x2xbf16> pack of [@w]
moe.parameter @w : tensor<4x64x160xbf16> from "layers.{0}.weight"
// CHECK-LABEL: func @dense(
// CHECK-SAME:    %[[L:[^:]*]]: index
func.func @dense(%l: index, %x: tensor<?x160xf32>, %init: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // CHECK-NEXT: %[[W:.*]] = moe.load_parameter @w.packed[%[[L]]] : tensor<2x5x2x16x16x2xbf16>
  // CHECK-NEXT: moe.grouped_matmul packed bf16 ins(%{{.*}}, %[[W]] :
  %w = moe.load_parameter @w[%l] : tensor<64x160xbf16>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x160xf32>, tensor<64x160xbf16>)
         outs(%init : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// One packed parameter serves all readers; a table that is also gathered from stays loaded.
// CHECK:     moe.parameter @embed.packed : tensor<9x160x32xf32> pack of [@embed]
// CHECK-NOT: moe.parameter
moe.parameter @embed : tensor<259x160xf32> from "embed"
// CHECK-LABEL: func @shared(
func.func @shared(%x: tensor<?x160xf32>, %init: tensor<?x259xf32>)
    -> (tensor<?x259xf32>, tensor<?x259xf32>, tensor<259x160xf32>) {
  // CHECK:      %[[E:.*]] = moe.load_parameter @embed :
  // CHECK-NEXT: %[[P:.*]] = moe.load_parameter @embed.packed :
  // CHECK-NEXT: moe.grouped_matmul packed f32 ins(%{{.*}}, %[[P]] :
  // CHECK-NEXT: %[[Q:.*]] = moe.load_parameter @embed.packed :
  // CHECK-NEXT: moe.grouped_matmul packed f32 ins(%{{.*}}, %[[Q]] :
  %w = moe.load_parameter @embed : tensor<259x160xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x160xf32>, tensor<259x160xf32>)
         outs(%init : tensor<?x259xf32>) -> tensor<?x259xf32>
  %z = moe.grouped_matmul ins(%x, %w : tensor<?x160xf32>, tensor<259x160xf32>)
         outs(%init : tensor<?x259xf32>) -> tensor<?x259xf32>
  return %y, %z, %w : tensor<?x259xf32>, tensor<?x259xf32>, tensor<259x160xf32>
}

// -----

// Gate and up are interleaved.
// CHECK: moe.parameter @gate_up.packed : tensor<2x4x1x8x32xf32> pack of [@gate, @up]
// CHECK: moe.parameter @down.packed : tensor<2x4x1x16x32xf32> pack of [@down]
moe.parameter @gate : tensor<2x4x16x8xf32> from "{0}.{1}.gate"
moe.parameter @up : tensor<2x4x16x8xf32> from "{0}.{1}.up"
moe.parameter @down : tensor<2x4x8x16xf32> from "{0}.{1}.down"
// CHECK-LABEL: func @ffn(
func.func @ffn(%l: index, %x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %init: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // CHECK-NEXT: %[[G:.*]] = moe.load_parameter @gate_up.packed[%{{.*}}] : tensor<4x1x8x32xf32>
  // CHECK-NEXT: %[[D:.*]] = moe.load_parameter @down.packed[%{{.*}}] : tensor<4x1x16x32xf32>
  // CHECK-NEXT: moe.expert_ffn swiglu packed f32 inner 16 ins({{.*}}) weights(%[[G]], %[[D]] :
  %gate = moe.load_parameter @gate[%l] : tensor<4x16x8xf32>
  %up = moe.load_parameter @up[%l] : tensor<4x16x8xf32>
  %down = moe.load_parameter @down[%l] : tensor<4x8x16xf32>
  %y = moe.expert_ffn swiglu ins(%x, %idx, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
         weights(%gate, %up, %down : tensor<4x16x8xf32>, tensor<4x16x8xf32>, tensor<4x8x16xf32>)
         outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

// CHECK: moe.parameter @up.packed : tensor<2x4x1x8x32xf32> pack of [@up]
// CHECK: moe.parameter @down.packed : tensor<2x4x1x16x32xf32> pack of [@down]
moe.parameter @up : tensor<2x4x16x8xf32> from "{0}.{1}.up"
moe.parameter @down : tensor<2x4x8x16xf32> from "{0}.{1}.down"
// CHECK-LABEL: func @ungated(
func.func @ungated(%l: index, %x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %init: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // CHECK-NEXT: %[[U:.*]] = moe.load_parameter @up.packed[%{{.*}}] : tensor<4x1x8x32xf32>
  // CHECK-NEXT: %[[D:.*]] = moe.load_parameter @down.packed[%{{.*}}] : tensor<4x1x16x32xf32>
  // CHECK-NEXT: moe.expert_ffn relu packed f32 inner 16 ins({{.*}}) weights(%[[U]], %[[D]] :
  %up = moe.load_parameter @up[%l] : tensor<4x16x8xf32>
  %down = moe.load_parameter @down[%l] : tensor<4x8x16xf32>
  %y = moe.expert_ffn relu ins(%x, %idx, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
         weights(%up, %down : tensor<4x16x8xf32>, tensor<4x8x16xf32>) outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

moe.parameter @gate : tensor<2x4x16x8xf32> from "{0}.{1}.gate"
moe.parameter @up : tensor<2x4x16x8xf32> from "{0}.{1}.up"
moe.parameter @down : tensor<2x4x8x16xf32> from "{0}.{1}.down"
// CHECK-LABEL: func @other_layers(
func.func @other_layers(%l: index, %m: index, %x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %init: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // CHECK-NOT: packed
  %gate = moe.load_parameter @gate[%l] : tensor<4x16x8xf32>
  %up = moe.load_parameter @up[%m] : tensor<4x16x8xf32>
  %down = moe.load_parameter @down[%l] : tensor<4x8x16xf32>
  // expected-remark @below {{weights stay unpacked: gate and up differ in type or indices}}
  %y = moe.expert_ffn swiglu ins(%x, %idx, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
         weights(%gate, %up, %down : tensor<4x16x8xf32>, tensor<4x16x8xf32>, tensor<4x8x16xf32>)
         outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

func.func @no_parameter(%w: tensor<64x160xf32>, %x: tensor<?x160xf32>, %init: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // expected-remark @below {{weights stay unpacked: not a moe.load_parameter}}
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x160xf32>, tensor<64x160xf32>)
         outs(%init : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// f16 is packed as it is.
// CHECK: moe.parameter @w.packed : tensor<2x160x32xf16> pack of [@w]
moe.parameter @w : tensor<64x160xf16> from "w"
// CHECK-LABEL: func @half(
func.func @half(%x: tensor<?x160xf32>, %init: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // CHECK: moe.grouped_matmul packed f16 ins(
  %w = moe.load_parameter @w : tensor<64x160xf16>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x160xf32>, tensor<64x160xf16>)
         outs(%init : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
