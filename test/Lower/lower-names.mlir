// RUN: moe-opt %s --moe-lower-names --mlir-print-debuginfo | FileCheck %s

moe.parameter @up : tensor<4x96x160xbf16> from "layers.{0}.up"

// A name has the function's, the op's and the parameters'; it stays when the function is inlined.
// CHECK-LABEL: func private @layer(
// CHECK:         moe.load_parameter @up{{.*}} loc([[PLAIN:#loc[0-9]*]])
// CHECK:         moe.grouped_matmul {{.*}} loc([[PRODUCT:#loc[0-9]*]])
// CHECK:         linalg.fill {{.*}} loc([[FILL:#loc[0-9]*]])
func.func private @layer(%x: tensor<?x160xf32>, %y: tensor<?x96xf32>, %l: index) -> tensor<?x96xf32> {
  %zero = arith.constant 0.0 : f32
  %up = moe.load_parameter @up[%l] : tensor<96x160xbf16>
  %product = moe.grouped_matmul ins(%x, %up : tensor<?x160xf32>, tensor<96x160xbf16>) outs(%y : tensor<?x96xf32>)
      -> tensor<?x96xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%product : tensor<?x96xf32>) -> tensor<?x96xf32>
  return %fill : tensor<?x96xf32>
}

// A location that has a name keeps it.
// CHECK-LABEL: func @named(
// CHECK:         linalg.fill {{.*}} loc([[GIVEN:#loc[0-9]*]])
func.func @named(%y: tensor<?xf32>) -> tensor<?xf32> {
  %zero = arith.constant 0.0 : f32
  %fill = linalg.fill ins(%zero : f32) outs(%y : tensor<?xf32>) -> tensor<?xf32> loc("my zeros")
  return %fill : tensor<?xf32>
}

// CHECK-DAG: [[PLAIN]] = loc({{.*}}:{{[0-9]+}}:{{[0-9]+}})
// CHECK-DAG: [[PRODUCT]] = loc("layer: grouped_matmul @up"({{.*}}))
// CHECK-DAG: [[FILL]] = loc("layer: fill"({{.*}}))
// CHECK-DAG: [[GIVEN]] = loc("my zeros")
