// RUN: moe-opt %s --moe-lower-composites | FileCheck %s

// CHECK-LABEL: func @route(
// CHECK-SAME:    %[[LOGITS:[^:]*]]: tensor<?x16xf32>
func.func @route(%logits: tensor<?x16xf32>, %idx: tensor<?x4xi32>, %w: tensor<?x4xf32>)
    -> (tensor<?x4xi32>, tensor<?x4xf32>) {
  // CHECK: %[[S:.*]] = moe.score softmax %[[LOGITS]]
  // CHECK: %[[IDX:.*]] = moe.select %[[S]] top 4
  // CHECK: %[[W:.*]] = moe.weigh %[[S]] at %[[IDX]] norm sum
  // CHECK: return %[[IDX]], %[[W]]
  %r:2 = moe.route softmax ins(%logits : tensor<?x16xf32>) norm sum
           outs(%idx, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return %r#0, %r#1 : tensor<?x4xi32>, tensor<?x4xf32>
}

// CHECK-LABEL: func @route_clauses(
// CHECK-SAME:    %[[LOGITS:[^:]*]]: tensor<?x16xf32>, %[[BIAS:[^:]*]]: tensor<16xbf16>
func.func @route_clauses(%logits: tensor<?x16xf32>, %bias: tensor<16xbf16>, %idx: tensor<?x4xi32>, %w: tensor<?x4xf32>)
    -> (tensor<?x4xi32>, tensor<?x4xf32>) {
  // CHECK: %[[S:.*]] = moe.score relu %[[LOGITS]]
  // CHECK: %[[IDX:.*]] = moe.select %[[LOGITS]] top 4 bias(%[[BIAS]] : tensor<16xbf16>) groups <4 keep 2 by 2 fill zero> above 2.500000e-01 until 5.000000e-01
  // CHECK: %[[W:.*]] = moe.weigh %[[S]] at %[[IDX]] norm l2 plus 1.000000e+00 scale 2.500000e+00
  // CHECK: return %[[IDX]], %[[W]]
  %r:2 = moe.route relu by_logits ins(%logits : tensor<?x16xf32>) bias(%bias : tensor<16xbf16>)
           groups <4 keep 2 by 2 fill zero> above 0.25 until 0.5 norm l2 plus 1.0 scale 2.5
           outs(%idx, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return %r#0, %r#1 : tensor<?x4xi32>, tensor<?x4xf32>
}

// CHECK-LABEL: func @route_of_chosen(
// CHECK-SAME:    %[[LOGITS:[^:]*]]: tensor<?x16xf32>
func.func @route_of_chosen(%logits: tensor<?x16xf32>, %idx: tensor<?x4xi32>, %w: tensor<?x4xf32>)
    -> (tensor<?x4xi32>, tensor<?x4xf32>) {
  // CHECK: %[[IDX:.*]] = moe.select %[[LOGITS]] top 4
  // CHECK: %[[CHOSEN:.*]] = moe.weigh %[[LOGITS]] at %[[IDX]] :
  // CHECK: %[[W:.*]] = moe.score softmax %[[CHOSEN]] : tensor<?x4xf32>
  // CHECK: return %[[IDX]], %[[W]]
  %r:2 = moe.route softmax of_chosen ins(%logits : tensor<?x16xf32>)
           outs(%idx, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return %r#0, %r#1 : tensor<?x4xi32>, tensor<?x4xf32>
}

// CHECK-LABEL: func @expert_ffn(
// CHECK-SAME:    %[[X:[^:]*]]: tensor<?x160xf32>, %[[IDX:[^:]*]]: tensor<?x4xi32>, %[[W:[^:]*]]: tensor<?x4xf32>, %[[GATE:[^:]*]]: tensor<16x96x160xf32>, %[[UP:[^:]*]]: tensor<16x96x160xf32>, %[[DOWN:[^:]*]]: tensor<16x160x96xf32>
func.func @expert_ffn(%x: tensor<?x160xf32>, %idx: tensor<?x4xi32>, %w: tensor<?x4xf32>, %gate: tensor<16x96x160xf32>,
                      %up: tensor<16x96x160xf32>, %down: tensor<16x160x96xf32>, %init: tensor<?x160xf32>)
    -> tensor<?x160xf32> {
  // CHECK: %[[ROW:.*]], %[[PERM:.*]], %[[OFFSETS:.*]] = moe.assign %[[IDX]] into 16
  // CHECK: %[[XS:.*]] = moe.dispatch %[[X]] by %[[PERM]] top 4
  // CHECK: %[[G:.*]] = moe.grouped_matmul ins(%[[XS]], %[[GATE]] : {{.*}}) offsets(%[[OFFSETS]]
  // CHECK: %[[U:.*]] = moe.grouped_matmul ins(%[[XS]], %[[UP]] : {{.*}}) offsets(%[[OFFSETS]]
  // CHECK: %[[H:.*]] = moe.glu swiglu %[[G]], %[[U]]
  // CHECK: %[[YS:.*]] = moe.grouped_matmul ins(%[[H]], %[[DOWN]] : {{.*}}) offsets(%[[OFFSETS]]
  // CHECK: %[[Y:.*]] = moe.combine %[[YS]], %[[ROW]], %[[W]]
  // CHECK: return %[[Y]]
  %y = moe.expert_ffn swiglu ins(%x, %idx, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>)
         weights(%gate, %up, %down : tensor<16x96x160xf32>, tensor<16x96x160xf32>, tensor<16x160x96xf32>)
         outs(%init : tensor<?x160xf32>) -> tensor<?x160xf32>
  return %y : tensor<?x160xf32>
}

// CHECK-LABEL: func @clauses(
// CHECK-SAME:    %[[B:[^:]*]]: tensor<16x96xf32>, %[[C:[^:]*]]: tensor<16x96xf32>, %[[D:[^:]*]]: tensor<16x160xbf16>
func.func @clauses(%b: tensor<16x96xf32>, %c: tensor<16x96xf32>, %d: tensor<16x160xbf16>, %x: tensor<?x160xf32>,
                   %idx: tensor<?x4xi32>, %w: tensor<?x4xf32>, %gate: tensor<16x96x160xf32>,
                   %up: tensor<16x96x160xf32>, %down: tensor<16x160x96xf32>, %init: tensor<?x160xf32>)
    -> tensor<?x160xf32> {
  // CHECK: %[[G:.*]] = moe.grouped_matmul
  // CHECK: %[[GATE:.*]] = moe.group_add %[[G]], %[[B]] by
  // CHECK: %[[U:.*]] = moe.grouped_matmul
  // CHECK: %[[UP:.*]] = moe.group_add %[[U]], %[[C]] by
  // CHECK: %[[H:.*]] = moe.glu swiglu %[[GATE]], %[[UP]] alpha 1.702000e+00 offset 1.000000e+00 limit 7.000000e+00 post
  // CHECK: %[[YS:.*]] = moe.grouped_matmul ins(%[[H]]
  // CHECK: %[[DOWN:.*]] = moe.group_add %[[YS]], %[[D]] by
  // CHECK: moe.combine %[[DOWN]]
  %y = moe.expert_ffn swiglu alpha 1.702 offset 1.0 limit 7.0 post
         ins(%x, %idx, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>)
         weights(%gate, %up, %down : tensor<16x96x160xf32>, tensor<16x96x160xf32>, tensor<16x160x96xf32>)
         biases(%b, %c, %d : tensor<16x96xf32>, tensor<16x96xf32>, tensor<16x160xbf16>)
         outs(%init : tensor<?x160xf32>) -> tensor<?x160xf32>
  return %y : tensor<?x160xf32>
}

// CHECK-LABEL: func @ungated(
// CHECK-SAME:    %[[UP:[^:]*]]: tensor<16x96x160xf32>, %[[DOWN:[^:]*]]: tensor<16x160x96xf32>
func.func @ungated(%up: tensor<16x96x160xf32>, %down: tensor<16x160x96xf32>, %x: tensor<?x160xf32>,
                   %idx: tensor<?x4xi32>, %w: tensor<?x4xf32>, %init: tensor<?x160xf32>) -> tensor<?x160xf32> {
  // CHECK: %[[U:.*]] = moe.grouped_matmul ins(%{{.*}}, %[[UP]] :
  // CHECK: %[[H:.*]] = moe.glu relu %[[U]] :
  // CHECK: moe.grouped_matmul ins(%[[H]], %[[DOWN]] :
  %y = moe.expert_ffn relu ins(%x, %idx, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>)
         weights(%up, %down : tensor<16x96x160xf32>, tensor<16x160x96xf32>)
         outs(%init : tensor<?x160xf32>) -> tensor<?x160xf32>
  return %y : tensor<?x160xf32>
}

// Packed weights are left to the target's kernels.
// CHECK-LABEL: func @packed(
func.func @packed(%x: tensor<?x160xf32>, %idx: tensor<?x4xi32>, %w: tensor<?x4xf32>, %up: tensor<16x6x160x32xf32>,
                  %down: tensor<16x5x96x32xf32>) -> tensor<?x160xf32> {
  // CHECK: moe.expert_ffn swiglu packed
  %y = moe.expert_ffn swiglu packed f32 inner 96 ins(%x, %idx, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>)
         weights(%up, %down : tensor<16x6x160x32xf32>, tensor<16x5x96x32xf32>)
         outs(%x : tensor<?x160xf32>) -> tensor<?x160xf32>
  return %y : tensor<?x160xf32>
}
