// RUN: moe-opt %s | moe-opt --mlir-print-op-generic | moe-opt | FileCheck %s

// The examples in the descriptions of ops, which test/lint/test_docs.py looks for here. Each survives being printed.

moe.parameter @up : tensor<4x16x96x160xbf16> from "model.layers.{0}.mlp.experts.{1}.up_proj.weight"
moe.parameter @up.packed : tensor<4x16x3x5x2x16x16x2xbf16> pack of [@up]
moe.parameter @up.packed_q4_0 : tensor<4x16x3x2880xi8> pack q4_0 of [@up]

moe.parameter @blocks : tensor<4x16x192x5x16xi8> from "model.layers.{0}.mlp.experts.gate_up_proj_blocks"
moe.parameter @scales : tensor<4x16x192x5xi8> from "model.layers.{0}.mlp.experts.gate_up_proj_scales"
moe.parameter @gate_up : tensor<4x16x192x160xbf16> mxfp4 of [@blocks, @scales]
moe.parameter @gate : tensor<4x16x96x160xbf16> view of @gate_up by affine_map<(l, e, i, h) -> (l, e, 2 * i, h)>

moe.parameter @down.fp8 : tensor<4x16x160x96xf8E4M3FN> from "model.layers.{0}.mlp.experts.{1}.down_proj.weight"
moe.parameter @down.scales : tensor<4x16x2x1xf32> from "model.layers.{0}.mlp.experts.{1}.down_proj.weight_scale_inv"
moe.parameter @down : tensor<4x16x160x96xbf16> fp8 of [@down.fp8, @down.scales]

// CHECK-LABEL: func.func @dispatch(
// CHECK: moe.dispatch
func.func @dispatch(%x: tensor<?x160xf32>, %perm: tensor<?xi32>) {
  %xs = moe.dispatch %x by %perm top 4 : tensor<?x160xf32>, tensor<?xi32>
  return
}

// CHECK-LABEL: func.func @group_add(
// CHECK: moe.group_add
func.func @group_add(%ys: tensor<?x96xf32>, %bias: tensor<16x96xf32>, %offsets: tensor<17xi32>) {
  %z = moe.group_add %ys, %bias by %offsets : tensor<?x96xf32>, tensor<16x96xf32>, tensor<17xi32>
  return
}

// CHECK-LABEL: func.func @glu(
// CHECK: moe.glu
func.func @glu(%gate: tensor<?x96xf32>, %up: tensor<?x96xf32>) {
  %h = moe.glu swiglu %gate, %up : tensor<?x96xf32>
  return
}

func.func private @network(tensor<?x160xf32>, index) -> tensor<?x160xf32>

// CHECK-LABEL: func.func @experts(
// CHECK: moe.experts
func.func @experts(%xs: tensor<?x160xf32>, %offsets: tensor<17xi32>) {
  %ys = moe.experts %xs by %offsets segments [14, 2] : tensor<?x160xf32>, tensor<17xi32> -> tensor<?x160xf32> {
  ^bb0(%rows: tensor<?x160xf32>, %e: index):
    %y = func.call @network(%rows, %e) : (tensor<?x160xf32>, index) -> tensor<?x160xf32>
    moe.yield %y : tensor<?x160xf32>
  }, {
  ^bb0(%rows: tensor<?x160xf32>, %e: index):
    moe.yield %rows : tensor<?x160xf32>
  }
  return
}

// CHECK-LABEL: func.func @combine(
// CHECK: moe.combine
func.func @combine(%ys: tensor<?x160xf32>, %row: tensor<?x4xi32>, %w: tensor<?x4xf32>) {
  %y = moe.combine %ys, %row, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>
  return
}

// CHECK-LABEL: func.func @soft_dispatch(
// CHECK: moe.soft_dispatch
func.func @soft_dispatch(%x: tensor<?x160xf32>, %d: tensor<?x32xf32>, %cu: tensor<?xi32>) {
  %xs = moe.soft_dispatch %x, %d of(%cu : tensor<?xi32>) : tensor<?x160xf32>, tensor<?x32xf32>
  return
}

// CHECK-LABEL: func.func @soft_combine(
// CHECK: moe.soft_combine
func.func @soft_combine(%ys: tensor<?x160xf32>, %c: tensor<?x32xf32>, %cu: tensor<?xi32>) {
  %y = moe.soft_combine %ys, %c of(%cu : tensor<?xi32>) : tensor<?x160xf32>, tensor<?x32xf32>
  return
}

// CHECK-LABEL: func.func @grouped_matmul(
// CHECK: moe.grouped_matmul
func.func @grouped_matmul(%xs: tensor<?x160xf32>, %w: tensor<16x96x160xbf16>, %offsets: tensor<17xi32>, %init: tensor<?x96xf32>) {
  %y = moe.grouped_matmul ins(%xs, %w : tensor<?x160xf32>, tensor<16x96x160xbf16>)
         offsets(%offsets : tensor<17xi32>) outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// CHECK-LABEL: func.func @route(
// CHECK: moe.route
func.func @route(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>, %a: tensor<?x4xi32>, %b: tensor<?x4xf32>) {
  %idx, %w = moe.route sigmoid ins(%logits : tensor<?x16xf32>) bias(%bias : tensor<16xf32>)
               groups <4 keep 2 by 2 fill neg_inf> norm sum plus 1.0e-20 scale 2.5
               outs(%a, %b : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return
}

// CHECK-LABEL: func.func @expert_ffn(
// CHECK: moe.expert_ffn
func.func @expert_ffn(%x: tensor<?x160xf32>, %idx: tensor<?x4xi32>, %w: tensor<?x4xf32>, %gate: tensor<16x96x160xf32>,
                      %up: tensor<16x96x160xf32>, %down: tensor<16x160x96xf32>, %b: tensor<16x96xf32>,
                      %c: tensor<16x96xf32>, %d: tensor<16x160xf32>, %init: tensor<?x160xf32>) {
  %y = moe.expert_ffn swiglu alpha 1.702 offset 1.0 limit 7.0
         ins(%x, %idx, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>)
         weights(%gate, %up, %down : tensor<16x96x160xf32>, tensor<16x96x160xf32>, tensor<16x160x96xf32>)
         biases(%b, %c, %d : tensor<16x96xf32>, tensor<16x96xf32>, tensor<16x160xf32>)
         outs(%init : tensor<?x160xf32>) -> tensor<?x160xf32>
  return
}

// CHECK-LABEL: func.func @attention(
// CHECK: moe.attention
func.func @attention(%q: tensor<?x4x40xf32>, %cu: tensor<?xi32>, %past: tensor<?xi32>, %slot: tensor<?xi32>,
                     %k_cache: memref<4x?x4x?x40xf32>, %v_cache: memref<4x?x4x?x40xf32>, %l: index,
                     %sinks: tensor<4xf32>, %init: tensor<?x4x40xf32>) {
  %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x4x40xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>)
         cache(%k_cache, %v_cache at %l : memref<4x?x4x?x40xf32>) sinks(%sinks : tensor<4xf32>)
         outs(%init : tensor<?x4x40xf32>) {scale = 0.158 : f32, window = 128 : i64} -> tensor<?x4x40xf32>
  return
}

// CHECK-LABEL: func.func @cache_update(
// CHECK: moe.cache_update
func.func @cache_update(%k: tensor<?x4x40xf32>, %cu: tensor<?xi32>, %past: tensor<?xi32>, %slot: tensor<?xi32>,
                        %k_cache: memref<4x?x4x?x40xf32>, %l: index) {
  moe.cache_update %k, %cu, %past, %slot into %k_cache[%l]
      : tensor<?x4x40xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, memref<4x?x4x?x40xf32>
  return
}

// CHECK-LABEL: func.func @num_threads(
// CHECK: moe.num_threads
func.func @num_threads() {
  %n = moe.num_threads
  return
}

// CHECK-LABEL: func.func @panel_matmul(
// CHECK: moe.panel_matmul
func.func @panel_matmul(%rows: memref<?xi8>, %w: memref<?xbf16>, %sums: memref<?xf32>, %first: index, %n: index, %at: index, %s: index, %from: index, %lower: index, %upper: index) {
  moe.panel_matmul bf16 rows(%rows[%first] count %n : memref<?xi8>) depth 160 k(%lower to %upper)
    panel(%w[%at] : memref<?xbf16>) into(%sums[%s] : memref<?xf32>) ahead(%w[%from] : memref<?xbf16>)
  return
}

// CHECK-LABEL: func.func @load_parameter(
// CHECK: moe.load_parameter
func.func @load_parameter(%l: index) {
  %up = moe.load_parameter @up[%l] : tensor<16x96x160xbf16>
  return
}

// CHECK-LABEL: func.func @score(
// CHECK: moe.score
func.func @score(%logits: tensor<?x16xf32>) {
  %s = moe.score softmax %logits : tensor<?x16xf32>
  return
}

// CHECK-LABEL: func.func @select(
// CHECK: moe.select
func.func @select(%key: tensor<?x256xf32>, %b: tensor<256xf32>) {
  %idx = moe.select %key top 8 bias(%b : tensor<256xf32>) groups <8 keep 4 by 2 fill neg_inf> : tensor<?x256xf32>
  return
}

// CHECK-LABEL: func.func @weigh(
// CHECK: moe.weigh
func.func @weigh(%s: tensor<?x16xf32>, %idx: tensor<?x4xi32>) {
  %w = moe.weigh %s at %idx norm sum plus 1.0e-20 scale 2.5 : tensor<?x16xf32>, tensor<?x4xi32>
  return
}

// CHECK-LABEL: func.func @limit(
// CHECK: moe.limit
func.func @limit(%idx: tensor<?x2xi32>, %cu: tensor<?xi32>) {
  %kept = moe.limit %idx into 16 capacity <1.25 ceil min 4> of(%cu : tensor<?xi32>) : tensor<?x2xi32>
  return
}

// CHECK-LABEL: func.func @assign(
// CHECK: moe.assign
func.func @assign(%idx: tensor<?x4xi32>) {
  %row, %perm, %offsets = moe.assign %idx into 16 : tensor<?x4xi32>
  return
}

// CHECK-LABEL: func.func @aux_loss(
// CHECK: moe.aux_loss
func.func @aux_loss(%s: tensor<?x16xf32>, %idx: tensor<?x4xi32>) {
  %loss = moe.aux_loss balance %s at(%idx : tensor<?x4xi32>) scale 0.01 : tensor<?x16xf32>
  return
}

// CHECK-LABEL: func.func @bias_update(
// CHECK: moe.bias_update
func.func @bias_update(%bias: tensor<16xf32>, %counts: tensor<16xi32>) {
  %next = moe.bias_update sign %bias, %counts rate 0.001 : tensor<16xf32>, tensor<16xi32>
  return
}

// CHECK-LABEL: func.func @noise(
// CHECK: moe.noise
func.func @noise(%seed: tensor<2xi32>, %logits: tensor<?x16xf32>) {
  %n = moe.noise normal %seed like %logits : tensor<2xi32>, tensor<?x16xf32>
  return
}
