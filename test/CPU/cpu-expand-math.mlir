// RUN: moe-opt %s --moe-cpu-expand-math | FileCheck %s

// CHECK-LABEL: func @vector(
// CHECK-SAME:    %[[X:.*]]: vector<16xf32>
func.func @vector(%x: vector<16xf32>) -> vector<16xf32> {
  // The integer in the low bits of the sum becomes the exponent.
  // CHECK:         %[[SUM:.*]] = math.fma %[[X]]
  // CHECK:         arith.subf %[[SUM]]
  // CHECK-COUNT-8: math.fma
  // CHECK:         %[[BITS:.*]] = arith.bitcast %[[SUM]] : vector<16xf32> to vector<16xi32>
  // CHECK:         %[[N:.*]] = arith.subi %[[BITS]]
  // Two factors, each within the exponent's range.
  // CHECK:         %[[HALF:.*]] = arith.shrsi %[[N]]
  // CHECK:         arith.subi %[[N]], %[[HALF]]
  // CHECK-COUNT-2: arith.shli
  // CHECK:         %[[SCALED:.*]] = arith.mulf
  // Infinity, NaN and zero.
  // CHECK:         %[[ABOVE:.*]] = arith.addf %[[X]]
  // CHECK:         %[[FINITE:.*]] = arith.cmpf ole, %[[X]]
  // CHECK:         %[[R:.*]] = arith.select %[[FINITE]], %[[SCALED]], %[[ABOVE]]
  // CHECK:         %[[TINY:.*]] = arith.cmpf olt, %[[X]]
  // CHECK:         arith.select %[[TINY]], %{{.*}}, %[[R]]
  // CHECK-NOT:     math.exp
  %y = math.exp %x : vector<16xf32>
  return %y : vector<16xf32>
}

// CHECK-LABEL: func @scalar(
func.func @scalar(%x: f32) -> f32 {
  // CHECK-NOT: math.exp
  // CHECK:     arith.select %{{.*}} : f32
  %y = math.exp %x : f32
  return %y : f32
}

// CHECK-LABEL: func @other_type(
func.func @other_type(%x: f64) -> f64 {
  // CHECK: math.exp
  %y = math.exp %x : f64
  return %y : f64
}

// A quotient of polynomials.
// CHECK-LABEL: func @tanh(
func.func @tanh(%x: vector<32xf32>) -> vector<32xf32> {
  // CHECK-NOT: math.tanh
  // CHECK:     math.fma
  // CHECK:     %[[TANH:.*]] = arith.divf
  // CHECK:     arith.select %{{.*}}, %{{.*}}, %[[TANH]]
  %y = math.tanh %x : vector<32xf32>
  return %y : vector<32xf32>
}

// CHECK-LABEL: func @erf(
func.func @erf(%x: vector<32xf32>) -> vector<32xf32> {
  // CHECK-NOT: math.erf
  // CHECK:     math.fma
  // CHECK:     arith.divf
  %y = math.erf %x : vector<32xf32>
  return %y : vector<32xf32>
}
