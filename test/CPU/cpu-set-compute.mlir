// RUN: moe-opt %s --moe-cpu-set-compute=type=bf16 --verify-diagnostics | FileCheck %s

// CHECK: module attributes {moe.compute = "bf16"}

// CHECK-LABEL: func @products(
func.func @products(%x: tensor<?x64xf32>, %w: tensor<1x2x2x16x16x2xbf16>, %f: tensor<1x64x32xf32>, %y: tensor<?x32xf32>)
    -> (tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>) {
  // CHECK: moe.grouped_matmul packed bf16 compute bf16
  %a = moe.grouped_matmul packed bf16 ins(%x, %w : tensor<?x64xf32>, tensor<1x2x2x16x16x2xbf16>)
         outs(%y : tensor<?x32xf32>) -> tensor<?x32xf32>
  // expected-remark @below {{rows stay f32: weights are packed as f32}}
  %b = moe.grouped_matmul packed f32 ins(%x, %f : tensor<?x64xf32>, tensor<1x64x32xf32>)
         outs(%y : tensor<?x32xf32>) -> tensor<?x32xf32>
  // CHECK: moe.grouped_matmul packed bf16 ins
  // expected-remark @below {{rows stay f32: they choose experts}}
  %c = moe.grouped_matmul packed bf16 ins(%x, %w : tensor<?x64xf32>, tensor<1x2x2x16x16x2xbf16>)
         outs(%y : tensor<?x32xf32>) -> tensor<?x32xf32>
  %s = moe.score softmax %c : tensor<?x32xf32>
  return %a, %b, %s : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>
}
