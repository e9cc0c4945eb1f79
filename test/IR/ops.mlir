// RUN: moe-opt %s | moe-opt | FileCheck %s

// Each op is printed as it is written.

// CHECK: [[MAP:#map[0-9]*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3, d2 * 2)>

// CHECK: moe.parameter @embed : tensor<259x160xbf16> from "model.embed_tokens.weight"
moe.parameter @embed : tensor<259x160xbf16> from "model.embed_tokens.weight"
// CHECK: moe.parameter @up : tensor<4x16x96x160xf32> from "layers.{0}.experts.{1}.up.weight"
moe.parameter @up : tensor<4x16x96x160xf32> from "layers.{0}.experts.{1}.up.weight"
// CHECK: moe.parameter @dense_up : tensor<2x96x160xbf16> from "layers.{0}.up.weight" at {{\[}}[0, 3]]
moe.parameter @dense_up : tensor<2x96x160xbf16> from "layers.{0}.up.weight" at [[0, 3]]
// CHECK: moe.parameter @dense_up.packed : tensor<2x3x5x2x16x16x2xbf16> pack of [@dense_up]
moe.parameter @dense_up.packed : tensor<2x3x5x2x16x16x2xbf16> pack of [@dense_up]
// CHECK: moe.parameter @gate_up.packed : tensor<4x16x6x160x32xf32> pack of [@up, @up]
moe.parameter @gate_up.packed : tensor<4x16x6x160x32xf32> pack of [@up, @up]
// CHECK: moe.parameter @dense_up.packed_mxfp4 : tensor<2x3x3264xi8> pack mxfp4 of [@dense_up]
moe.parameter @dense_up.packed_mxfp4 : tensor<2x3x3264xi8> pack mxfp4 of [@dense_up]
// CHECK: moe.parameter @half : tensor<96x160xf16> from "half"
moe.parameter @half : tensor<96x160xf16> from "half"
// CHECK: moe.parameter @half.packed : tensor<3x160x32xf16> pack of [@half]
moe.parameter @half.packed : tensor<3x160x32xf16> pack of [@half]
// CHECK: moe.parameter @fused : tensor<4x16x160x192xbf16> from "layers.{0}.gate_up_proj"
moe.parameter @fused : tensor<4x16x160x192xbf16> from "layers.{0}.gate_up_proj"
// CHECK: moe.parameter @gate : tensor<4x16x96x160xbf16> view of @fused by [[MAP]]
moe.parameter @gate : tensor<4x16x96x160xbf16> view of @fused by affine_map<(l, e, i, h) -> (l, e, h, 2 * i)>
// CHECK: moe.parameter @blocks : tensor<16x160x3x16xi8> from "blocks"
moe.parameter @blocks : tensor<16x160x3x16xi8> from "blocks"
moe.parameter @scales : tensor<16x160x3xi8> from "scales"
// CHECK: moe.parameter @small : tensor<3x200x130xf8E4M3FN> from "small.{0}"
moe.parameter @small : tensor<3x200x130xf8E4M3FN> from "small.{0}"
moe.parameter @small.scales : tensor<3x2x2xf32> from "small_scale_inv.{0}"
// CHECK: moe.parameter @large : tensor<3x200x130xf32> fp8 of [@small, @small.scales]
moe.parameter @large : tensor<3x200x130xf32> fp8 of [@small, @small.scales]
// CHECK: moe.parameter @down : tensor<16x160x96xbf16> mxfp4 of [@blocks, @scales]
moe.parameter @down : tensor<16x160x96xbf16> mxfp4 of [@blocks, @scales]

// CHECK-LABEL: func @load_parameter(
func.func @load_parameter(%l: index, %e: index) {
  // CHECK: moe.load_parameter @embed : tensor<259x160xbf16>
  %embed = moe.load_parameter @embed : tensor<259x160xbf16>
  // CHECK: moe.load_parameter @up[%{{.*}}, %{{.*}}] : tensor<96x160xf32>
  %up = moe.load_parameter @up[%l, %e] : tensor<96x160xf32>
  // CHECK: moe.load_parameter @up[%{{.*}}] : memref<16x96x160xf32>
  %buffer = moe.load_parameter @up[%l] : memref<16x96x160xf32>
  return
}

// CHECK-LABEL: func @score(
func.func @score(%logits: tensor<?x16xf32>) {
  // CHECK: moe.score softmax %{{.*}} : tensor<?x16xf32>
  %s = moe.score softmax %logits : tensor<?x16xf32>
  // CHECK: moe.score sqrtsoftplus %{{.*}} : tensor<?x16xf32>
  %root = moe.score sqrtsoftplus %logits : tensor<?x16xf32>
  return
}

// CHECK-LABEL: func @score_over_tokens(
func.func @score_over_tokens(%logits: tensor<?x16xf32>, %cu: tensor<?xi32>) {
  // CHECK: moe.score softmax %{{.*}} over_tokens : tensor<?x16xf32>
  %all = moe.score softmax %logits over_tokens : tensor<?x16xf32>
  // CHECK: moe.score softmax %{{.*}} over_tokens of(%{{.*}} : tensor<?xi32>) : tensor<?x16xf32>
  %grouped = moe.score softmax %logits over_tokens of(%cu : tensor<?xi32>) : tensor<?x16xf32>
  return
}

// CHECK-LABEL: func @select(
func.func @select(%key: tensor<?x16xf32>) {
  // CHECK: moe.select %{{.*}} top 4 : tensor<?x16xf32>
  %idx = moe.select %key top 4 : tensor<?x16xf32>
  return
}

// CHECK-LABEL: func @select_clauses(
func.func @select_clauses(%key: tensor<?x16xf32>, %b: tensor<16xbf16>) {
  // CHECK: moe.select %{{.*}} top 4 bias(%{{.*}} : tensor<16xbf16>) groups <8 keep 4 by 2 fill neg_inf> : tensor<?x16xf32>
  %grouped = moe.select %key top 4 bias(%b : tensor<16xbf16>) groups <8 keep 4 by 2 fill neg_inf> : tensor<?x16xf32>
  // CHECK: moe.select %{{.*}} top 4 above 0.000000e+00 until 0.899999976 : tensor<?x16xf32>
  %bounded = moe.select %key top 4 above 0.0 until 0.9 : tensor<?x16xf32>
  return
}

// CHECK-LABEL: func @weigh(
func.func @weigh(%s: tensor<?x16xf32>, %idx: tensor<?x4xi32>) {
  // CHECK: moe.weigh %{{.*}} at %{{.*}} norm sum : tensor<?x16xf32>, tensor<?x4xi32>
  %normalised = moe.weigh %s at %idx norm sum : tensor<?x16xf32>, tensor<?x4xi32>
  // CHECK: moe.weigh %{{.*}} at %{{[^ ]*}} : tensor<?x16xf32>, tensor<?x4xi32>
  %plain = moe.weigh %s at %idx norm none : tensor<?x16xf32>, tensor<?x4xi32>
  // CHECK: moe.weigh %{{.*}} at %{{.*}} norm l2 plus 9.99999997E-7 scale 2.500000e+00 : tensor<?x16xf32>, tensor<?x4xi32>
  %scaled = moe.weigh %s at %idx norm l2 plus 1.0e-6 scale 2.5 : tensor<?x16xf32>, tensor<?x4xi32>
  // CHECK: moe.weigh %{{.*}} at %{{.*}} norm sum at_least 9.99999997E-7 : tensor<?x16xf32>, tensor<?x4xi32>
  %bounded = moe.weigh %s at %idx norm sum at_least 1.0e-6 : tensor<?x16xf32>, tensor<?x4xi32>
  return
}

// CHECK-LABEL: func @route(
func.func @route(%logits: tensor<3x16xf32>, %idx: tensor<3x4xi32>, %w: tensor<3x4xf32>) {
  // CHECK: moe.route softmax ins(%{{.*}} : tensor<3x16xf32>) norm sum outs(%{{.*}}, %{{.*}} : tensor<3x4xi32>, tensor<3x4xf32>) -> tensor<3x4xi32>, tensor<3x4xf32>
  %r:2 = moe.route softmax ins(%logits : tensor<3x16xf32>) norm sum
           outs(%idx, %w : tensor<3x4xi32>, tensor<3x4xf32>) -> tensor<3x4xi32>, tensor<3x4xf32>
  return
}

// CHECK-LABEL: func @route_clauses(
func.func @route_clauses(%logits: memref<?x16xf32>, %bias: memref<16xbf16>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>) {
  // CHECK: moe.route sigmoid ins(%{{.*}} : memref<?x16xf32>) bias(%{{.*}} : memref<16xbf16>) groups <4 keep 2 by 2 fill neg_inf> norm sum plus 9.99999968E-21 scale 2.500000e+00 outs(
  moe.route sigmoid ins(%logits : memref<?x16xf32>) bias(%bias : memref<16xbf16>) groups <4 keep 2 by 2 fill neg_inf>
    norm sum plus 1.0e-20 scale 2.5 outs(%idx, %w : memref<?x4xi32>, memref<?x4xf32>)
  // CHECK: moe.route relu by_logits ins(%{{.*}} : memref<?x16xf32>) above 0.000000e+00 until 5.000000e-01 norm l2 at_least 1.000000e+00 outs(
  moe.route relu by_logits ins(%logits : memref<?x16xf32>) above 0.0 until 0.5 norm l2 at_least 1.0
    outs(%idx, %w : memref<?x4xi32>, memref<?x4xf32>)
  // CHECK: moe.route softmax of_chosen ins(%{{.*}} : memref<?x16xf32>) outs(
  moe.route softmax of_chosen ins(%logits : memref<?x16xf32>) outs(%idx, %w : memref<?x4xi32>, memref<?x4xf32>)
  return
}

// CHECK-LABEL: func @assign(
func.func @assign(%idx: tensor<?x4xi32>) {
  // CHECK: moe.assign %{{.*}} into 16 : tensor<?x4xi32>
  %row, %perm, %offsets = moe.assign %idx into 16 : tensor<?x4xi32>
  return
}

// CHECK-LABEL: func @dispatch(
func.func @dispatch(%x: tensor<?x160xf32>, %perm: tensor<?xi32>) {
  // CHECK: moe.dispatch %{{.*}} by %{{.*}} top 4 : tensor<?x160xf32>, tensor<?xi32>
  %xs = moe.dispatch %x by %perm top 4 : tensor<?x160xf32>, tensor<?xi32>
  return
}

// CHECK-LABEL: func @grouped_matmul(
func.func @grouped_matmul(%xs: tensor<?x160xf32>, %up: tensor<16x96x160xbf16>, %offsets: tensor<17xi32>,
                          %dense: tensor<96x160xf32>, %init: tensor<?x96xf32>) {
  // CHECK: moe.grouped_matmul ins(%{{.*}}, %{{.*}} : tensor<?x160xf32>, tensor<16x96x160xbf16>) offsets(%{{.*}} : tensor<17xi32>) outs(%{{.*}} : tensor<?x96xf32>) -> tensor<?x96xf32>
  %g = moe.grouped_matmul ins(%xs, %up : tensor<?x160xf32>, tensor<16x96x160xbf16>) offsets(%offsets : tensor<17xi32>)
         outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  // CHECK: moe.grouped_matmul ins(%{{.*}}, %{{.*}} : tensor<?x160xf32>, tensor<96x160xf32>) outs(%{{.*}} : tensor<?x96xf32>) -> tensor<?x96xf32>
  %d = moe.grouped_matmul ins(%xs, %dense : tensor<?x160xf32>, tensor<96x160xf32>)
         outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// CHECK-LABEL: func @grouped_matmul_on_buffers(
func.func @grouped_matmul_on_buffers(%xs: memref<?x160xf32>, %up: memref<3x160x32xf32>, %init: memref<?x96xf32>) {
  // CHECK: moe.grouped_matmul packed f32 ins(%{{.*}}, %{{.*}} : memref<?x160xf32>, memref<3x160x32xf32>) outs(%{{.*}} : memref<?x96xf32>){{$}}
  moe.grouped_matmul packed f32 ins(%xs, %up : memref<?x160xf32>, memref<3x160x32xf32>) outs(%init : memref<?x96xf32>)
  return
}

// CHECK-LABEL: func @grouped_matmul_packed(
func.func @grouped_matmul_packed(%xs: memref<?x160xf32>, %f16: memref<3x160x32xf16>, %bf16: memref<3x5x2x16x16x2xbf16>,
                                 %int8: memref<3x6272xi8>, %q8: memref<3x5440xi8>, %q4: memref<3x2880xi8>,
                                 %fp4: memref<3x3264xi8>, %init: memref<?x96xf32>) {
  // CHECK: moe.grouped_matmul packed f16 ins(
  moe.grouped_matmul packed f16 ins(%xs, %f16 : memref<?x160xf32>, memref<3x160x32xf16>) outs(%init : memref<?x96xf32>)
  // CHECK: moe.grouped_matmul packed bf16 compute bf16 ins(
  moe.grouped_matmul packed bf16 compute bf16 ins(%xs, %bf16 : memref<?x160xf32>, memref<3x5x2x16x16x2xbf16>)
    outs(%init : memref<?x96xf32>)
  // CHECK: moe.grouped_matmul packed int8 compute int8 ins(
  moe.grouped_matmul packed int8 compute int8 ins(%xs, %int8 : memref<?x160xf32>, memref<3x6272xi8>)
    outs(%init : memref<?x96xf32>)
  // CHECK: moe.grouped_matmul packed q8_0 ins(
  moe.grouped_matmul packed q8_0 compute f32 ins(%xs, %q8 : memref<?x160xf32>, memref<3x5440xi8>)
    outs(%init : memref<?x96xf32>)
  // CHECK: moe.grouped_matmul packed q4_0 compute int8 ins(
  moe.grouped_matmul packed q4_0 compute int8 ins(%xs, %q4 : memref<?x160xf32>, memref<3x2880xi8>)
    outs(%init : memref<?x96xf32>)
  // CHECK: moe.grouped_matmul packed mxfp4 compute bf16 ins(
  moe.grouped_matmul packed mxfp4 compute bf16 ins(%xs, %fp4 : memref<?x160xf32>, memref<3x3264xi8>)
    outs(%init : memref<?x96xf32>)
  return
}

// CHECK-LABEL: func @glu(
func.func @glu(%g: tensor<?x96xf32>, %u: tensor<?x96xf32>) {
  // CHECK: moe.glu swiglu %{{.*}}, %{{.*}} : tensor<?x96xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x96xf32>
  return
}

// CHECK-LABEL: func @combine(
func.func @combine(%ys: tensor<?x160xf32>, %row: tensor<?x4xi32>, %w: tensor<?x4xf32>) {
  // CHECK: moe.combine %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>
  %y = moe.combine %ys, %row, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>
  return
}

// CHECK-LABEL: func @expert_ffn(
func.func @expert_ffn(%x: tensor<?x160xf32>, %idx: tensor<?x4xi32>, %w: tensor<?x4xf32>,
                      %up: tensor<16x96x160xf32>, %down: tensor<16x160x96xf32>) {
  // CHECK: moe.expert_ffn swiglu ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>) weights(%{{.*}}, %{{.*}}, %{{.*}} : tensor<16x96x160xf32>, tensor<16x96x160xf32>, tensor<16x160x96xf32>) outs(%{{.*}} : tensor<?x160xf32>) -> tensor<?x160xf32>
  %y = moe.expert_ffn swiglu ins(%x, %idx, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>)
         weights(%up, %up, %down : tensor<16x96x160xf32>, tensor<16x96x160xf32>, tensor<16x160x96xf32>)
         outs(%x : tensor<?x160xf32>) -> tensor<?x160xf32>
  return
}

// CHECK-LABEL: func @expert_ffn_on_buffers(
func.func @expert_ffn_on_buffers(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                                 %up: memref<16x6x160x32xf32>, %down: memref<16x5x96x32xf32>) {
  // CHECK: moe.expert_ffn swiglu packed f32 inner 96 ins(%{{.*}}) weights(%{{.*}}, %{{.*}} : memref<16x6x160x32xf32>, memref<16x5x96x32xf32>) outs(%{{.*}} : memref<?x160xf32>){{$}}
  moe.expert_ffn swiglu packed f32 inner 96 ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %down : memref<16x6x160x32xf32>, memref<16x5x96x32xf32>) outs(%x : memref<?x160xf32>)
  return
}

// CHECK-LABEL: func @expert_ffn_clauses(
func.func @expert_ffn_clauses(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                              %gate_up: memref<16x6x160x32xf32>, %up: memref<16x3x160x32xf32>,
                              %down: memref<16x5x96x32xf32>, %b: memref<16x96xf32>, %d: memref<16x160xbf16>) {
  // CHECK: moe.expert_ffn swiglu alpha 1.702000e+00 offset 1.000000e+00 limit 7.000000e+00 post packed f32 inner 96 ins(
  // CHECK-SAME: weights(%{{.*}}, %{{.*}} : memref<16x6x160x32xf32>, memref<16x5x96x32xf32>) biases(%{{.*}}, %{{.*}}, %{{.*}} : memref<16x96xf32>, memref<16x96xf32>, memref<16x160xbf16>) outs(
  moe.expert_ffn swiglu alpha 1.702 offset 1.0 limit 7.0 post packed f32 inner 96
    ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%gate_up, %down : memref<16x6x160x32xf32>, memref<16x5x96x32xf32>)
    biases(%b, %b, %d : memref<16x96xf32>, memref<16x96xf32>, memref<16x160xbf16>) outs(%x : memref<?x160xf32>)
  // CHECK: moe.expert_ffn relu packed f32 inner 96 ins(%{{.*}}) weights(%{{.*}}, %{{.*}} : memref<16x3x160x32xf32>, memref<16x5x96x32xf32>) outs(
  moe.expert_ffn relu packed f32 inner 96 ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %down : memref<16x3x160x32xf32>, memref<16x5x96x32xf32>) outs(%x : memref<?x160xf32>)
  return
}

// CHECK-LABEL: func @expert_ffn_packed(
func.func @expert_ffn_packed(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                             %up: memref<16x6x2880xi8>, %down: memref<16x5x1728xi8>) {
  // CHECK: moe.expert_ffn swiglu packed q4_0 inner 96 compute int8 ins(
  moe.expert_ffn swiglu packed q4_0 inner 96 compute int8
    ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %down : memref<16x6x2880xi8>, memref<16x5x1728xi8>) outs(%x : memref<?x160xf32>)
  return
}

// CHECK-LABEL: func @cache_update(
func.func @cache_update(%k: tensor<?x4x40xf32>, %cu: tensor<?xi32>, %past: tensor<?xi32>, %slot: tensor<?xi32>,
                        %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // CHECK: moe.cache_update %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} into %{{.*}}[%{{.*}}] : tensor<?x4x40xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, memref<4x?x4x?x40xf32>
  moe.cache_update %k, %cu, %past, %slot into %cache[%l]
    : tensor<?x4x40xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, memref<4x?x4x?x40xf32>
  return
}

// CHECK-LABEL: func @attention(
func.func @attention(%q: tensor<?x8x40xf32>, %cu: tensor<?xi32>, %past: tensor<?xi32>, %slot: tensor<?xi32>,
                     %k: memref<4x?x4x?x40xf32>, %v: memref<4x?x4x?x40xf32>, %l: index) {
  // CHECK: moe.attention ins(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x8x40xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>) cache(%{{.*}}, %{{.*}} at %{{.*}} : memref<4x?x4x?x40xf32>) outs(%{{.*}} : tensor<?x8x40xf32>) {scale = 1.250000e-01 : f32, window = 8 : i64} -> tensor<?x8x40xf32>
  %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x8x40xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>)
         cache(%k, %v at %l : memref<4x?x4x?x40xf32>) outs(%q : tensor<?x8x40xf32>)
         {scale = 0.125 : f32, window = 8 : i64} -> tensor<?x8x40xf32>
  return
}

// CHECK-LABEL: func @attention_switches(
func.func @attention_switches(%q: memref<?x8x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x1x?x40xf32>, %l: index,
                              %bias: memref<8x255xf32>, %sinks: memref<8xbf16>) {
  // CHECK: cache(%[[CACHE:.*]], %[[CACHE]] at %{{.*}} : memref<4x?x1x?x40xf32>) lengths(%{{.*}} : memref<?xi32>) bias(%{{.*}} : memref<8x255xf32>) sinks(%{{.*}} : memref<8xbf16>) outs(%{{.*}} : memref<?x8x40xf32>) {chunk = 8192 : i64, scale = 1.250000e-01 : f32, softcap = 5.000000e+01 : f32}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x8x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x1x?x40xf32>) lengths(%cu : memref<?xi32>)
    bias(%bias : memref<8x255xf32>) sinks(%sinks : memref<8xbf16>)
    outs(%q : memref<?x8x40xf32>) {scale = 0.125 : f32, softcap = 50.0 : f32, chunk = 8192 : i64}
  return
}

// CHECK-LABEL: func @panel_matmul(
func.func @panel_matmul(%rows: memref<?xi8>, %w: memref<?xbf16>, %sums: memref<?xf32>, %first: index, %n: index, %at: index, %s: index, %from: index, %lower: index, %upper: index) {
  // CHECK:      moe.panel_matmul bf16 rows(%{{[^ ]*}}[%{{[^ ]*}}] count %{{[^ ]*}} : memref<?xi8>) depth 160 k(%{{[^ ]*}} to %{{[^ ]*}}) panel(%{{[^ ]*}}[%{{[^ ]*}}] : memref<?xbf16>)
  // CHECK-SAME:   into(%{{[^ ]*}}[%{{[^ ]*}}] : memref<?xf32>) ahead(%{{[^ ]*}}[%{{[^ ]*}}] : memref<?xbf16>)
  moe.panel_matmul bf16 rows(%rows[%first] count %n : memref<?xi8>) depth 160 k(%lower to %upper) panel(%w[%at] : memref<?xbf16>)
    into(%sums[%s] : memref<?xf32>) ahead(%w[%from] : memref<?xbf16>)
  // CHECK:      moe.panel_matmul bf16 compute bf16 rows
  moe.panel_matmul bf16 compute bf16 rows(%rows[%first] count %n : memref<?xi8>) depth 160 k(%lower to %upper) panel(%w[%at] : memref<?xbf16>)
    into(%sums[%s] : memref<?xf32>) ahead(%w[%from] : memref<?xbf16>)
  return
}

// CHECK-LABEL: func @num_threads(
func.func @num_threads() -> index {
  // CHECK: moe.num_threads
  %n = moe.num_threads
  return %n : index
}

// CHECK-LABEL: func @limit(
func.func @limit(%idx: tensor<?x4xi32>, %cu: tensor<?xi32>, %p: tensor<?x4xf32>) {
  // CHECK: moe.limit %{{.*}} into 16 capacity <64> : tensor<?x4xi32>
  %fixed = moe.limit %idx into 16 capacity <64> : tensor<?x4xi32>
  // CHECK: moe.limit %{{.*}} into 16 capacity <1.250000e+00 ceil min 4 multiple 8> of(%{{.*}} : tensor<?xi32>) by(%{{.*}} : tensor<?x4xf32>) token_major : tensor<?x4xi32>
  %all = moe.limit %idx into 16 capacity <1.25 ceil min 4 multiple 8> of(%cu : tensor<?xi32>) by(%p : tensor<?x4xf32>)
           token_major : tensor<?x4xi32>
  // CHECK: moe.limit %{{.*}} into 16 capacity <2.000000e+00 floor> : tensor<?x4xi32>
  %floor = moe.limit %idx into 16 capacity <2.0 floor> : tensor<?x4xi32>
  return
}

// CHECK-LABEL: func @group_add(
func.func @group_add(%ys: tensor<?x96xf32>, %b: tensor<16x96xbf16>, %offsets: tensor<17xi32>) {
  // CHECK: moe.group_add %{{.*}}, %{{.*}} by %{{.*}} : tensor<?x96xf32>, tensor<16x96xbf16>, tensor<17xi32>
  %z = moe.group_add %ys, %b by %offsets : tensor<?x96xf32>, tensor<16x96xbf16>, tensor<17xi32>
  return
}

// CHECK-LABEL: func @glu_clauses(
func.func @glu_clauses(%g: tensor<?x96xf32>, %u: tensor<?x96xf32>) {
  // CHECK: moe.glu swiglu %{{.*}}, %{{.*}} alpha 1.702000e+00 offset 1.000000e+00 limit 7.000000e+00 : tensor<?x96xf32>
  %oai = moe.glu swiglu %g, %u alpha 1.702 offset 1.0 limit 7.0 : tensor<?x96xf32>
  // CHECK: moe.glu situ %{{.*}}, %{{.*}} alpha 4.000000e+00 beta 2.500000e+01 : tensor<?x96xf32>
  %situ = moe.glu situ %g, %u alpha 4.0 beta 25.0 : tensor<?x96xf32>
  // CHECK: moe.glu geglu_tanh %{{.*}}, %{{.*}} limit 3.000000e+00 post : tensor<?x96xf32>
  %post = moe.glu geglu_tanh %g, %u limit 3.0 post : tensor<?x96xf32>
  // CHECK: moe.glu relu2 %{{[^,]*}} limit 6.000000e+00 : tensor<?x96xf32>
  %ungated = moe.glu relu2 %g limit 6.0 : tensor<?x96xf32>
  return
}

// CHECK-LABEL: func @experts(
func.func @experts(%xs: tensor<?x160xf32>, %offsets: tensor<4xi32>) {
  // CHECK:      moe.experts %{{.*}} by %{{.*}} segments [2, 1] : tensor<?x160xf32>, tensor<4xi32> -> tensor<?x160xf32> {
  // CHECK-NEXT: ^bb0(%[[ROWS:.*]]: tensor<?x160xf32>, %{{.*}}: index):
  // CHECK-NEXT:   %[[H:.*]] = moe.glu
  // CHECK-NEXT:   moe.yield %[[H]] : tensor<?x160xf32>
  // CHECK-NEXT: }, {
  // CHECK-NEXT: ^bb0(%[[SAME:.*]]: tensor<?x160xf32>, %{{.*}}: index):
  // CHECK-NEXT:   moe.yield %[[SAME]] : tensor<?x160xf32>
  // CHECK-NEXT: }
  %ys = moe.experts %xs by %offsets segments [2, 1] : tensor<?x160xf32>, tensor<4xi32> -> tensor<?x160xf32> {
  ^bb0(%rows: tensor<?x160xf32>, %e: index):
    %h = moe.glu reglu %rows, %rows : tensor<?x160xf32>
    moe.yield %h : tensor<?x160xf32>
  }, {
  ^bb0(%rows: tensor<?x160xf32>, %e: index):
    moe.yield %rows : tensor<?x160xf32>
  }
  return
}

// CHECK-LABEL: func @soft(
func.func @soft(%x: tensor<?x160xf32>, %d: tensor<?x32xf32>, %cu: tensor<?xi32>) {
  // CHECK: moe.soft_dispatch %{{.*}}, %{{.*}} : tensor<?x160xf32>, tensor<?x32xf32>
  %one = moe.soft_dispatch %x, %d : tensor<?x160xf32>, tensor<?x32xf32>
  // CHECK: moe.soft_dispatch %{{.*}}, %{{.*}} of(%{{.*}} : tensor<?xi32>) : tensor<?x160xf32>, tensor<?x32xf32>
  %xs = moe.soft_dispatch %x, %d of(%cu : tensor<?xi32>) : tensor<?x160xf32>, tensor<?x32xf32>
  // CHECK: moe.soft_combine %{{.*}}, %{{.*}} of(%{{.*}} : tensor<?xi32>) : tensor<?x160xf32>, tensor<?x32xf32>
  %y = moe.soft_combine %xs, %d of(%cu : tensor<?xi32>) : tensor<?x160xf32>, tensor<?x32xf32>
  // CHECK: moe.soft_combine %{{.*}}, %{{.*}} : tensor<32x160xf32>, tensor<?x32xf32>
  %z = moe.soft_combine %one, %d : tensor<32x160xf32>, tensor<?x32xf32>
  return
}

// CHECK-LABEL: func @training(
func.func @training(%s: tensor<?x16xf32>, %idx: tensor<?x4xi32>, %cu: tensor<?xi32>, %b: tensor<16xf32>,
                    %counts: tensor<16xi32>, %seed: tensor<2xi32>) {
  // CHECK: moe.aux_loss balance %{{.*}} at(%{{.*}} : tensor<?x4xi32>) of(%{{.*}} : tensor<?xi32>) scale 0.00999999977 : tensor<?x16xf32>
  %balance = moe.aux_loss balance %s at(%idx : tensor<?x4xi32>) of(%cu : tensor<?xi32>) scale 0.01 : tensor<?x16xf32>
  // CHECK: moe.aux_loss z %{{.*}} : tensor<?x16xf32>
  %z = moe.aux_loss z %s : tensor<?x16xf32>
  // CHECK: moe.bias_update proportional %{{.*}}, %{{.*}} rate 1.000000e-03 : tensor<16xf32>, tensor<16xi32>
  %next = moe.bias_update proportional %b, %counts rate 0.001 : tensor<16xf32>, tensor<16xi32>
  // CHECK: moe.noise gumbel %{{.*}} like %{{.*}} : tensor<2xi32>, tensor<?x16xf32>
  %noise = moe.noise gumbel %seed like %s : tensor<2xi32>, tensor<?x16xf32>
  return
}
