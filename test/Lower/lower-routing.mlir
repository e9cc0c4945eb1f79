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
  // CHECK: %[[SCORES:.*]] = linalg.generic {{.*}} ins(%[[EXP]], %[[SUM]]
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
  // CHECK:   arith.select %[[CHOSEN]], %[[WEIGHT]], %cst
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
  // CHECK: linalg.generic {{.*}} ins(%[[W]], %[[SUM]]
  // CHECK:   arith.divf
  %w = moe.weigh %s at %idx norm sum : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}

// A counting sort: count, add up, place; slots without an expert are skipped both times.
// CHECK-LABEL: func @assign(
// CHECK-SAME:    %[[IDX:[^:]*]]: tensor<?x4xi32>
func.func @assign(%idx: tensor<?x4xi32>) -> (tensor<?x4xi32>, tensor<?xi32>, tensor<17xi32>) {
  // CHECK: %[[COUNTS:.*]] = scf.for {{.*}} -> (tensor<17xi32>)
  // CHECK:   %[[EXPERT:.*]] = tensor.extract %[[IDX]]
  // CHECK:   %[[CHOSEN:.*]] = arith.cmpi sge, %[[EXPERT]]
  // CHECK:   scf.if %[[CHOSEN]]
  // CHECK: %[[OFFSETS:.*]]:2 = scf.for {{.*}} iter_args(%{{.*}} = %[[COUNTS]], %{{.*}} = %{{.*}}) -> (tensor<17xi32>, i32)
  // CHECK: %[[ROWS:.*]] = linalg.fill ins(%c-1_i32 : i32) outs(%{{.*}} : tensor<?x4xi32>)
  // CHECK: %[[PERM:.*]] = linalg.fill ins(%c-1_i32 : i32) outs(%{{.*}} : tensor<?xi32>)
  // CHECK: %[[PLACED:.*]]:3 = scf.for {{.*}} iter_args(%{{.*}} = %[[ROWS]], %{{.*}} = %[[PERM]], %{{.*}} = %[[OFFSETS]]#0)
  // CHECK:   %[[EXPERT:.*]] = tensor.extract %[[IDX]]
  // CHECK:   %[[CHOSEN:.*]] = arith.cmpi sge, %[[EXPERT]]
  // CHECK:   scf.if %[[CHOSEN]]
  // CHECK: return %[[PLACED]]#0, %[[PLACED]]#1, %[[OFFSETS]]#0
  %row, %perm, %offsets = moe.assign %idx into 16 : tensor<?x4xi32>
  return %row, %perm, %offsets : tensor<?x4xi32>, tensor<?xi32>, tensor<17xi32>
}
