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
