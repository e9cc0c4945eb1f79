// RUN: moe-opt %s --moe-fuse-route -split-input-file -verify-diagnostics | FileCheck %s

// The indices may be used before the weights.
// CHECK-LABEL: func @route(
// CHECK-SAME:    %[[LOGITS:[^:]*]]: tensor<?x16xf32>
func.func @route(%logits: tensor<?x16xf32>) -> (tensor<?x4xf32>, tensor<17xi32>) {
  // CHECK:     %[[T:.*]] = tensor.dim %[[LOGITS]]
  // CHECK:     %[[I:.*]] = tensor.empty(%[[T]]) : tensor<?x4xi32>
  // CHECK:     %[[W:.*]] = tensor.empty(%[[T]]) : tensor<?x4xf32>
  // CHECK:     %[[R:.*]]:2 = moe.route softmax ins(%[[LOGITS]] : {{.*}}) norm sum outs(%[[I]], %[[W]] :
  // CHECK-NEXT: moe.assign %[[R]]#0
  // CHECK-NEXT: return %[[R]]#1
  %s = moe.score softmax %logits : tensor<?x16xf32>
  %idx = moe.select %s top 4 : tensor<?x16xf32>
  %row, %perm, %offsets = moe.assign %idx into 16 : tensor<?x4xi32>
  %w = moe.weigh %s at %idx norm sum : tensor<?x16xf32>, tensor<?x4xi32>
  return %w, %offsets : tensor<?x4xf32>, tensor<17xi32>
}

// -----

// Scores with another user stay for it.
// CHECK-LABEL: func @scores_used(
func.func @scores_used(%logits: tensor<3x16xf32>) -> (tensor<3x16xf32>, tensor<3x4xf32>) {
  // CHECK: %[[S:.*]] = moe.score
  // CHECK: %[[R:.*]]:2 = moe.route softmax ins(%{{.*}} : tensor<3x16xf32>) outs(
  // CHECK: return %[[S]], %[[R]]#1
  %s = moe.score softmax %logits : tensor<3x16xf32>
  %idx = moe.select %s top 4 : tensor<3x16xf32>
  %w = moe.weigh %s at %idx : tensor<3x16xf32>, tensor<3x4xi32>
  return %s, %w : tensor<3x16xf32>, tensor<3x4xf32>
}

// -----

// CHECK-LABEL: func @another_key(
func.func @another_key(%logits: tensor<?x16xf32>) -> tensor<?x4xf32> {
  // CHECK-NOT: moe.route
  %s = moe.score softmax %logits : tensor<?x16xf32>
  %idx = moe.select %logits top 4 : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: the experts are selected by another key}}
  %w = moe.weigh %s at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}

// -----

func.func @no_score(%s: tensor<?x16xf32>) -> tensor<?x4xf32> {
  %idx = moe.select %s top 4 : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: the scores are not a moe.score}}
  %w = moe.weigh %s at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}

// -----

func.func @no_select(%logits: tensor<?x16xf32>, %idx: tensor<?x4xi32>) -> tensor<?x4xf32> {
  %s = moe.score softmax %logits : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: the indices are not a moe.select}}
  %w = moe.weigh %s at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}

// -----

func.func @bias(%logits: tensor<?x16xf32>, %b: tensor<16xf32>) -> tensor<?x4xf32> {
  %s = moe.score softmax %logits : tensor<?x16xf32>
  %idx = moe.select %s top 4 bias(%b : tensor<16xf32>) : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: the selection has a bias, groups or a bound}}
  %w = moe.weigh %s at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}

// -----

func.func @scale(%logits: tensor<?x16xf32>) -> tensor<?x4xf32> {
  %s = moe.score softmax %logits : tensor<?x16xf32>
  %idx = moe.select %s top 4 : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: the weights are scaled, or divided by another norm}}
  %w = moe.weigh %s at %idx scale 2.5 : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}

// -----

func.func @sigmoid(%logits: tensor<?x16xf32>) -> tensor<?x4xf32> {
  %s = moe.score sigmoid %logits : tensor<?x16xf32>
  %idx = moe.select %s top 4 : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: the scores are not a softmax over experts}}
  %w = moe.weigh %s at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}
