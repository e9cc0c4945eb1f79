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

// Every clause comes along.
// CHECK-LABEL: func @clauses(
// CHECK-SAME:    %[[LOGITS:[^:]*]]: tensor<?x16xf32>, %[[BIAS:[^:]*]]: tensor<16xbf16>
func.func @clauses(%logits: tensor<?x16xf32>, %bias: tensor<16xbf16>) -> (tensor<?x4xi32>, tensor<?x4xf32>) {
  // CHECK-NOT: moe.score
  // CHECK: %[[R:.*]]:2 = moe.route sigmoid ins(%[[LOGITS]] : tensor<?x16xf32>) bias(%[[BIAS]] : tensor<16xbf16>)
  // CHECK-SAME: groups <4 keep 2 by 2 fill neg_inf> above 2.500000e-01 until 3.000000e+00
  // CHECK-SAME: norm l2 plus 9.99999968E-21 scale 2.500000e+00 outs(
  // CHECK-NOT: moe.select
  // CHECK-NOT: moe.weigh
  // CHECK: return %[[R]]#0, %[[R]]#1
  %s = moe.score sigmoid %logits : tensor<?x16xf32>
  %idx = moe.select %s top 4 bias(%bias : tensor<16xbf16>) groups <4 keep 2 by 2 fill neg_inf> above 0.25 until 3.0 : tensor<?x16xf32>
  %w = moe.weigh %s at %idx norm l2 plus 1.0e-20 scale 2.5 : tensor<?x16xf32>, tensor<?x4xi32>
  return %idx, %w : tensor<?x4xi32>, tensor<?x4xf32>
}

// -----

// CHECK-LABEL: func @by_logits(
// CHECK-SAME:    %[[LOGITS:[^:]*]]: tensor<?x16xf32>
func.func @by_logits(%logits: tensor<?x16xf32>) -> tensor<?x4xf32> {
  // CHECK: moe.route sigmoid by_logits ins(%[[LOGITS]] : tensor<?x16xf32>) norm sum at_least
  %s = moe.score sigmoid %logits : tensor<?x16xf32>
  %idx = moe.select %logits top 4 : tensor<?x16xf32>
  %w = moe.weigh %s at %idx norm sum at_least 1.0e-6 : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}

// -----

// CHECK-LABEL: func @of_chosen(
// CHECK-SAME:    %[[LOGITS:[^:]*]]: tensor<?x16xf32>
func.func @of_chosen(%logits: tensor<?x16xf32>, %bias: tensor<16xf32>) -> (tensor<?x4xi32>, tensor<?x4xf32>) {
  // CHECK: %[[R:.*]]:2 = moe.route softmax of_chosen ins(%[[LOGITS]] : tensor<?x16xf32>) bias(
  // CHECK-NEXT: return %[[R]]#0, %[[R]]#1
  %idx = moe.select %logits top 4 bias(%bias : tensor<16xf32>) : tensor<?x16xf32>
  %w = moe.weigh %logits at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  %s = moe.score softmax %w : tensor<?x4xf32>
  return %idx, %s : tensor<?x4xi32>, tensor<?x4xf32>
}

// -----

// CHECK-LABEL: func @another_key(
func.func @another_key(%logits: tensor<?x16xf32>, %key: tensor<?x16xf32>) -> tensor<?x4xf32> {
  // CHECK-NOT: moe.route
  %s = moe.score softmax %logits : tensor<?x16xf32>
  %idx = moe.select %key top 4 : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: the experts are selected by another key}}
  %w = moe.weigh %s at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}

// -----

func.func @no_score(%s: tensor<?x16xf32>) -> tensor<?x4xf32> {
  %idx = moe.select %s top 4 : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: neither scores nor weights are those of a moe.score}}
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

// Chosen logits with another user would be lost.
func.func @chosen_used(%logits: tensor<?x16xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>) {
  %idx = moe.select %logits top 4 : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: neither scores nor weights are those of a moe.score}}
  %w = moe.weigh %logits at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  %s = moe.score softmax %w : tensor<?x4xf32>
  return %w, %s : tensor<?x4xf32>, tensor<?x4xf32>
}

// -----

func.func @chosen_scaled(%logits: tensor<?x16xf32>) -> tensor<?x4xf32> {
  %idx = moe.select %logits top 4 : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: the chosen logits are bounded or scaled before their moe.score}}
  %w = moe.weigh %logits at %idx scale 2.5 : tensor<?x16xf32>, tensor<?x4xi32>
  %s = moe.score softmax %w : tensor<?x4xf32>
  return %s : tensor<?x4xf32>
}

// -----

func.func @chosen_bounded(%logits: tensor<?x16xf32>) -> tensor<?x4xf32> {
  %idx = moe.select %logits top 4 above 0.0 : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: the chosen logits are bounded or scaled before their moe.score}}
  %w = moe.weigh %logits at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  %s = moe.score softmax %w : tensor<?x4xf32>
  return %s : tensor<?x4xf32>
}

// -----

func.func @over_tokens(%logits: tensor<?x16xf32>) -> tensor<?x4xf32> {
  %s = moe.score softmax %logits over_tokens : tensor<?x16xf32>
  %idx = moe.select %s top 4 : tensor<?x16xf32>
  // expected-remark @below {{not fused into a route: the scores are over tokens}}
  %w = moe.weigh %s at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}
