// RUN: moe-opt %s --moe-lower-training | FileCheck %s

// Philox has ten rounds of two products.
// CHECK-LABEL: func @noise(
func.func @noise(%seed: tensor<2xi32>, %l: tensor<?x16xf32>) -> tensor<?x16xf32> {
  // CHECK:          linalg.generic
  // CHECK-COUNT-20: arith.mului_extended
  // CHECK-NOT:      arith.mului_extended
  // CHECK:          arith.shrui
  // CHECK:          math.log
  // CHECK:          math.cos
  %n = moe.noise normal %seed like %l : tensor<2xi32>, tensor<?x16xf32>
  return %n : tensor<?x16xf32>
}

// A group without tokens has no part in the mean.
// CHECK-LABEL: func @balance(
func.func @balance(%s: tensor<?x16xf32>, %idx: tensor<?x2xi32>, %cu: tensor<?xi32>) -> tensor<f32> {
  // CHECK: %[[SUMS:.*]]:2 = scf.for
  // CHECK:   %[[EMPTY:.*]] = arith.cmpf oeq
  // CHECK:   arith.select %[[EMPTY]]
  // CHECK: arith.divf %[[SUMS]]#0, %[[SUMS]]#1
  // CHECK: tensor.from_elements
  %loss = moe.aux_loss balance %s at(%idx : tensor<?x2xi32>) of(%cu : tensor<?xi32>) : tensor<?x16xf32>
  return %loss : tensor<f32>
}

// CHECK-LABEL: func @bias_update(
func.func @bias_update(%b: tensor<16xf32>, %counts: tensor<16xi32>) -> tensor<16xf32> {
  // CHECK: linalg.generic
  // CHECK:   math.copysign
  %next = moe.bias_update sign %b, %counts rate 0.001 : tensor<16xf32>, tensor<16xi32>
  return %next : tensor<16xf32>
}
