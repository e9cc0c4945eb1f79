// RUN: moe-opt %s --moe-lower-assignment | FileCheck %s

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

// Each group counts its experts' slots anew; the first slots of all tokens come before the second ones.
// CHECK-LABEL: func @limit(
// CHECK-SAME:    %[[IDX:[^:]*]]: tensor<?x2xi32>, %[[CU:[^:]*]]: tensor<?xi32>
func.func @limit(%idx: tensor<?x2xi32>, %cu: tensor<?xi32>) -> tensor<?x2xi32> {
  // CHECK: %[[NONE:.*]] = linalg.fill ins(%c-1_i32 : i32)
  // CHECK: scf.for %[[GROUP:.*]] = {{.*}} iter_args(%{{.*}} = %[[NONE]])
  // CHECK:   %[[FACTOR:.*]] = arith.constant 1.250000e+00 : f64
  // CHECK:   math.ceil
  // CHECK:   arith.maxsi
  // CHECK:   arith.ceildivsi
  // CHECK:   %[[COUNTS:.*]] = linalg.fill {{.*}} -> tensor<16xi32>
  // CHECK:   scf.for %[[J:[a-z0-9]*]] = {{.*}} iter_args(%{{.*}}, %{{.*}} = %[[COUNTS]])
  // CHECK:     scf.for %[[T:[a-z0-9]*]] =
  // CHECK:       tensor.extract %[[IDX]][%[[T]], %[[J]]]
  // CHECK:       %[[FITS:.*]] = arith.cmpi slt
  // CHECK:       arith.select %[[FITS]], %{{.*}}, %c-1_i32
  %kept = moe.limit %idx into 16 capacity <1.25 ceil min 4 multiple 4> of(%cu : tensor<?xi32>) : tensor<?x2xi32>
  return %kept : tensor<?x2xi32>
}

// CHECK-LABEL: func @limit_token_major(
// CHECK-SAME:    %[[IDX:[^:]*]]: tensor<?x2xi32>
func.func @limit_token_major(%idx: tensor<?x2xi32>) -> tensor<?x2xi32> {
  // CHECK: scf.for %[[T:[a-z0-9]*]] =
  // CHECK:   scf.for %[[J:[a-z0-9]*]] =
  // CHECK:     tensor.extract %[[IDX]][%[[T]], %[[J]]]
  %kept = moe.limit %idx into 16 capacity <3> token_major : tensor<?x2xi32>
  return %kept : tensor<?x2xi32>
}

// With priorities, a slot stays if fewer than the capacity are preferred to it.
// CHECK-LABEL: func @limit_by_priority(
// CHECK-SAME:    %[[IDX:[^:]*]]: tensor<?x2xi32>, %[[P:[^:]*]]: tensor<?x2xf32>
func.func @limit_by_priority(%idx: tensor<?x2xi32>, %p: tensor<?x2xf32>) -> tensor<?x2xi32> {
  // Slots in slot-major order, and keys that are the less the greater the priority.
  // CHECK: scf.for {{.*}} -> (tensor<?xi32>, tensor<?xi32>)
  // CHECK:   tensor.extract %[[P]]
  // CHECK:   arith.xori
  // Four digits, of which each sorts by counting.
  // CHECK-COUNT-4: tensor.empty() : tensor<256xi32>
  // Each expert keeps the first 3.
  // CHECK: %[[SLOT:.*]] = arith.index_cast
  // CHECK: tensor.extract %[[IDX]]
  // CHECK: %[[FITS:.*]] = arith.cmpi slt, %{{.*}}, %c3_i32
  // CHECK: arith.select %[[FITS]], %{{.*}}, %c-1_i32
  %kept = moe.limit %idx into 16 capacity <3> by(%p : tensor<?x2xf32>) : tensor<?x2xi32>
  return %kept : tensor<?x2xi32>
}
