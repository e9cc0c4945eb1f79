// RUN: moe-opt %s --moe-lower-routing | FileCheck %s

// CHECK-DAG: #[[TE:.*]] = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-DAG: #[[T:.*]] = affine_map<(d0, d1) -> (d0)>

// A softmax subtracts the largest logit of the token before it takes exponentials.
// CHECK-LABEL: func @score(
// CHECK-SAME:    %[[LOGITS:[^:]*]]: tensor<?x16xf32>
func.func @score(%logits: tensor<?x16xf32>) -> tensor<?x16xf32> {
  // CHECK: %[[LOWEST:.*]] = arith.constant 0xFF800000 : f32
  // CHECK: %[[INIT:.*]] = linalg.fill ins(%[[LOWEST]]
  // CHECK: %[[MAX:.*]] = linalg.generic {indexing_maps = [#[[TE]], #[[T]]], {{.*}}"reduction"]} ins(%[[LOGITS]] : {{.*}}) outs(%[[INIT]]
  // CHECK:   arith.maximumf
  // CHECK: %[[EXP:.*]] = linalg.generic {indexing_maps = [#[[TE]], #[[T]], #[[TE]]], {{.*}} ins(%[[LOGITS]], %[[MAX]]
  // CHECK:   arith.subf
  // CHECK:   math.exp
  // CHECK: %[[SUM:.*]] = linalg.generic {indexing_maps = [#[[TE]], #[[T]]], {{.*}}"reduction"]} ins(%[[EXP]]
  // CHECK:   arith.addf
  // CHECK: %[[SCORES:.*]] = linalg.generic {{.*}} ins(%[[SUM]] : {{.*}}) outs(%[[EXP]]
  // CHECK:   arith.divf
  // CHECK: return %[[SCORES]]
  %s = moe.score softmax %logits : tensor<?x16xf32>
  return %s : tensor<?x16xf32>
}

// Each of the k sweeps over the experts finds the largest candidate below the last one.
// CHECK-LABEL: func @select_sweeps(
func.func @select_sweeps(%key: tensor<?x16xf32>) -> tensor<?x4xi32> {
  // CHECK-DAG: %[[K:.*]] = arith.constant 4 : index
  // CHECK-DAG: %[[E:.*]] = arith.constant 16 : index
  // CHECK-DAG: %[[NONE:.*]] = arith.constant -9223372036854775808 : i64
  // CHECK-DAG: %[[ALL:.*]] = arith.constant 9223372036854775807 : i64
  // CHECK:     scf.for %{{.*}} to %[[K]] step {{.*}} iter_args(%{{.*}} = %{{.*}}, %[[LAST:.*]] = %[[ALL]])
  // CHECK:       %[[NEXT:.*]] = scf.for %{{.*}} to %[[E]] step {{.*}} iter_args(%[[BEST:.*]] = %[[NONE]])
  // CHECK:         %[[BELOW:.*]] = arith.cmpi slt, %[[CANDIDATE:.*]], %[[LAST]] : i64
  // CHECK:         %[[MASKED:.*]] = arith.select %[[BELOW]], %[[CANDIDATE]], %[[NONE]]
  // CHECK:         arith.maxsi %[[BEST]], %[[MASKED]]
  // CHECK:       scf.yield %{{.*}}, %[[NEXT]]
  %idx = moe.select %key top 4 : tensor<?x16xf32>
  return %idx : tensor<?x4xi32>
}

// A candidate has the key above the complement of the index, so that ties go to the lowest index; zeros of both signs
// tie, and NaN is least.
// CHECK-LABEL: func @select_order(
func.func @select_order(%key: tensor<?x16xf32>) -> tensor<?x4xi32> {
  // CHECK: %[[KEY:.*]] = tensor.extract %{{.*}}[%{{.*}}, %[[E:.*]]]
  // CHECK: %[[ZERO:.*]] = arith.constant 0.0
  // CHECK: %[[POSITIVE:.*]] = arith.addf %[[KEY]], %[[ZERO]]
  // CHECK: arith.bitcast %[[POSITIVE]]
  // CHECK: %[[NAN:.*]] = arith.cmpf uno, %[[KEY]], %[[KEY]]
  // CHECK: %[[LEAST:.*]] = arith.constant -2147483648 : i32
  // CHECK: %[[HIGH:.*]] = arith.select %[[NAN]], %[[LEAST]]
  // CHECK: %[[WIDE:.*]] = arith.extsi %[[HIGH]]
  // CHECK: %[[SHIFTED:.*]] = arith.shli %[[WIDE]]
  // CHECK: %[[INDEX:.*]] = arith.index_cast %[[E]]
  // CHECK: %[[COMPLEMENT:.*]] = arith.subi %{{.*}}, %[[INDEX]]
  // CHECK: %[[LOW:.*]] = arith.extui %[[COMPLEMENT]]
  // CHECK: arith.ori %[[SHIFTED]], %[[LOW]]
  %idx = moe.select %key top 4 : tensor<?x16xf32>
  return %idx : tensor<?x4xi32>
}

// The weight of an index that means no expert is 0, and nothing out of range is read.
// CHECK-LABEL: func @weigh(
// CHECK-SAME:    %[[SCORES:[^:]*]]: tensor<?x16xf32>
func.func @weigh(%s: tensor<?x16xf32>, %idx: tensor<?x4xi32>) -> tensor<?x4xf32> {
  // CHECK: ^bb0(%[[EXPERT:.*]]: i32, %{{.*}}: f32):
  // CHECK:   %[[T:.*]] = linalg.index 0
  // CHECK:   %[[CLAMPED:.*]] = arith.maxsi %[[EXPERT]]
  // CHECK:   %[[E:.*]] = arith.index_cast %[[CLAMPED]]
  // CHECK:   %[[WEIGHT:.*]] = tensor.extract %[[SCORES]][%[[T]], %[[E]]]
  // CHECK:   %[[CHOSEN:.*]] = arith.cmpi sge, %[[EXPERT]]
  // CHECK:   arith.select %[[CHOSEN]], %[[WEIGHT]]
  // CHECK-NOT: arith.divf
  %w = moe.weigh %s at %idx : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}

// The sum of a token's weights is added in slot order.
// CHECK-LABEL: func @weigh_norm_sum(
func.func @weigh_norm_sum(%s: tensor<?x16xf32>, %idx: tensor<?x4xi32>) -> tensor<?x4xf32> {
  // CHECK: %[[W:.*]] = linalg.generic
  // CHECK: %[[SUM:.*]] = linalg.generic {{.*}}["parallel", "reduction"]} ins(%[[W]]
  // CHECK: ^bb0(%[[NEXT:.*]]: f32, %[[SO_FAR:.*]]: f32):
  // CHECK:   arith.addf %[[SO_FAR]], %[[NEXT]]
  // CHECK: linalg.generic {{.*}} ins(%[[SUM]], %{{.*}} : {{.*}}) outs(%[[W]]
  // CHECK:   %[[QUOTIENT:.*]] = arith.divf
  // CHECK:   arith.select %{{.*}}, %[[QUOTIENT]]
  %w = moe.weigh %s at %idx norm sum : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}

// A sigmoid takes the exponential of minus the absolute value, which does not overflow.
// CHECK-LABEL: func @sigmoid(
func.func @sigmoid(%logits: tensor<?x16xf32>) -> tensor<?x16xf32> {
  // CHECK: ^bb0(%[[X:.*]]: f32, %{{.*}}: f32):
  // CHECK:   %[[MAGNITUDE:.*]] = math.absf %[[X]]
  // CHECK:   %[[MINUS:.*]] = arith.negf %[[MAGNITUDE]]
  // CHECK:   %[[EXP:.*]] = math.exp %[[MINUS]]
  // CHECK:   %[[NEGATIVE:.*]] = arith.cmpf olt, %[[X]]
  // CHECK:   %[[NUMERATOR:.*]] = arith.select %[[NEGATIVE]], %[[EXP]]
  // CHECK:   %[[DENOMINATOR:.*]] = arith.addf %{{.*}}, %[[EXP]]
  // CHECK:   arith.divf %[[NUMERATOR]], %[[DENOMINATOR]]
  %s = moe.score sigmoid %logits : tensor<?x16xf32>
  return %s : tensor<?x16xf32>
}

// Over tokens, each group's slice of the result holds its exponentials until they are divided: nothing is as large as
// a group.
// CHECK-LABEL: func @score_over_tokens(
// CHECK-SAME:    %[[LOGITS:[^:]*]]: tensor<?x16xf32>, %[[CU:[^:]*]]: tensor<?xi32>
func.func @score_over_tokens(%logits: tensor<?x16xf32>, %cu: tensor<?xi32>) -> tensor<?x16xf32> {
  // CHECK: scf.for {{.*}} iter_args(%[[OUT:.*]] = %{{.*}}) -> (tensor<?x16xf32>)
  // CHECK:   %[[X:.*]] = tensor.extract_slice %[[LOGITS]]
  // CHECK:   %[[Y:.*]] = tensor.extract_slice %[[OUT]]
  // CHECK:   linalg.generic {{.*}}["reduction", "parallel"]} ins(%[[X]]
  // CHECK:   %[[EXP:.*]] = linalg.generic {{.*}} outs(%[[Y]]
  // CHECK:   %[[SCORES:.*]] = linalg.generic {{.*}} outs(%[[EXP]]
  // CHECK:   tensor.insert_slice %[[SCORES]] into %[[OUT]]
  // CHECK-NOT: tensor.empty(%{{.*}}) : tensor<?x16xf32>
  %s = moe.score softmax %logits over_tokens of(%cu : tensor<?xi32>) : tensor<?x16xf32>
  return %s : tensor<?x16xf32>
}

// The groups of a token are rows of their own; the sum of the best keys of each decides which experts keep their keys.
// CHECK-LABEL: func @select_groups(
// CHECK-SAME:    %[[KEY:[^:]*]]: tensor<?x16xf32>, %[[BIAS:[^:]*]]: tensor<16xf32>
func.func @select_groups(%key: tensor<?x16xf32>, %bias: tensor<16xf32>) -> tensor<?x4xi32> {
  // CHECK: %[[BIASED:.*]] = linalg.generic {{.*}} ins(%[[KEY]], %[[BIAS]]
  // CHECK: %[[SPLIT:.*]] = tensor.expand_shape %[[BIASED]] {{\[}}[0], [1, 2]] {{.*}} into tensor<?x4x4xf32>
  // CHECK: %[[ROWS:.*]] = tensor.collapse_shape %[[SPLIT]] {{\[}}[0, 1], [2]] {{.*}} into tensor<?x4xf32>
  // CHECK: scf.for {{.*}} -> (tensor<?x2xi32>)
  // CHECK: %[[SUMS:.*]] = linalg.generic {{.*}}["parallel", "reduction"]}
  // CHECK: tensor.expand_shape %{{.*}} {{\[}}[0, 1]] {{.*}} into tensor<?x4xf32>
  // CHECK: %[[KEPT:.*]] = scf.for {{.*}} -> (tensor<?x3xi32>)
  // CHECK: linalg.generic {{.*}} ins(%[[BIASED]]
  // CHECK-COUNT-3: tensor.extract %[[KEPT]]
  // CHECK:   %[[FILL:.*]] = arith.constant 0xFF800000 : f32
  // CHECK:   arith.select %{{.*}}, %{{.*}}, %[[FILL]]
  %idx = moe.select %key top 4 bias(%bias : tensor<16xf32>) groups <4 keep 3 by 2 fill neg_inf> : tensor<?x16xf32>
  return %idx : tensor<?x4xi32>
}

// Slots whose key does not pass the bound, NaN among them, have no expert.
// CHECK-LABEL: func @select_above(
func.func @select_above(%key: tensor<?x16xf32>) -> tensor<?x4xi32> {
  // CHECK: ^bb0(%[[INDEX:.*]]: i32, %[[CHOSEN:.*]]: f32, %{{.*}}: i32):
  // CHECK:   %[[PASSES:.*]] = arith.cmpf ogt, %[[CHOSEN]]
  // CHECK:   arith.select %[[PASSES]], %[[INDEX]], %c-1_i32
  %idx = moe.select %key top 4 above 0.0 : tensor<?x16xf32>
  return %idx : tensor<?x4xi32>
}

// A divisor is bounded, and the quotient scaled.
// CHECK-LABEL: func @weigh_clauses(
func.func @weigh_clauses(%s: tensor<?x16xf32>, %idx: tensor<?x4xi32>) -> tensor<?x4xf32> {
  // CHECK: ^bb0(%[[SQUARES:.*]]: f32, %{{.*}}: i32, %[[W:.*]]: f32):
  // CHECK:   %[[NORM:.*]] = math.sqrt %[[SQUARES]]
  // CHECK:   %[[DIVISOR:.*]] = arith.maximumf %[[NORM]]
  // CHECK:   %[[QUOTIENT:.*]] = arith.divf %[[W]], %[[DIVISOR]]
  // CHECK:   arith.mulf %[[QUOTIENT]]
  %w = moe.weigh %s at %idx norm l2 at_least 1.0e-6 scale 2.5 : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}
