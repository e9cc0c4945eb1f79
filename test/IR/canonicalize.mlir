// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: moe-opt %s --canonicalize --split-input-file | FileCheck %s

moe.parameter @up : tensor<2x4x6x8xf32> from "{0}.{1}.up"

// One matrix of a stack is loaded with one index more.
// CHECK-LABEL: @matrix_of_a_stack
// CHECK-SAME: %[[L:.*]]: index, %[[E:.*]]: index
// CHECK: %[[W:.*]] = moe.load_parameter @up[%[[L]], %[[E]]] : tensor<6x8xf32>
// CHECK: return %[[W]]
func.func @matrix_of_a_stack(%l: index, %e: index) -> tensor<6x8xf32> {
  %stack = moe.load_parameter @up[%l] : tensor<4x6x8xf32>
  %w = tensor.extract_slice %stack[%e, 0, 0] [1, 6, 8] [1, 1, 1] : tensor<4x6x8xf32> to tensor<6x8xf32>
  return %w : tensor<6x8xf32>
}

// A part of a matrix is no element of the stack.
// CHECK-LABEL: @part_of_a_matrix
// CHECK: tensor.extract_slice
func.func @part_of_a_matrix(%l: index, %e: index) -> tensor<3x8xf32> {
  %stack = moe.load_parameter @up[%l] : tensor<4x6x8xf32>
  %w = tensor.extract_slice %stack[%e, 0, 0] [1, 3, 8] [1, 1, 1] : tensor<4x6x8xf32> to tensor<3x8xf32>
  return %w : tensor<3x8xf32>
}

// -----

// With one expert every specified row is that expert's.
// CHECK-LABEL: @one_expert
// CHECK: %[[W:.*]] = tensor.extract_slice %{{.*}} : tensor<1x6x8xf32> to tensor<6x8xf32>
// CHECK: moe.grouped_matmul ins(%{{.*}}, %[[W]] : tensor<?x8xf32>, tensor<6x8xf32>) outs
func.func @one_expert(%x: tensor<?x8xf32>, %w: tensor<1x6x8xf32>, %offsets: tensor<2xi32>,
                      %init: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x8xf32>, tensor<1x6x8xf32>) offsets(%offsets : tensor<2xi32>)
         outs(%init : tensor<?x6xf32>) -> tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}
