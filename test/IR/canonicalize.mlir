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

// CHECK-LABEL: func @all_groups_kept(
func.func @all_groups_kept(%key: tensor<?x16xf32>) -> tensor<?x4xi32> {
  // CHECK: moe.select %{{.*}} top 4 : tensor<?x16xf32>
  %idx = moe.select %key top 4 groups <4 keep 4 by 2 fill zero> : tensor<?x16xf32>
  return %idx : tensor<?x4xi32>
}

// CHECK-LABEL: func @infinite_limit(
func.func @infinite_limit(%g: tensor<?x96xf32>, %u: tensor<?x96xf32>) -> tensor<?x96xf32> {
  // CHECK: moe.glu swiglu %{{.*}}, %{{.*}} : tensor<?x96xf32>
  %h = moe.glu swiglu %g, %u limit 0x7F800000 post : tensor<?x96xf32>
  return %h : tensor<?x96xf32>
}

// A capacity of all slots drops none.
// CHECK-LABEL: func @capacity_of_all(
// CHECK-SAME:    %[[IDX:[^:]*]]: tensor<3x4xi32>
func.func @capacity_of_all(%idx: tensor<3x4xi32>) -> (tensor<3x4xi32>, tensor<3x4xi32>) {
  // CHECK: %[[KEPT:.*]] = moe.limit %[[IDX]] into 16 capacity <11>
  %all = moe.limit %idx into 16 capacity <12> : tensor<3x4xi32>
  %most = moe.limit %idx into 16 capacity <11> : tensor<3x4xi32>
  // CHECK: return %[[IDX]], %[[KEPT]]
  return %all, %most : tensor<3x4xi32>, tensor<3x4xi32>
}

// CHECK-LABEL: func @identity_experts(
// CHECK-SAME:    %[[XS:[^:]*]]: tensor<?x160xf32>
func.func @identity_experts(%xs: tensor<?x160xf32>, %offsets: tensor<4xi32>) -> tensor<?x160xf32> {
  %ys = moe.experts %xs by %offsets segments [3] : tensor<?x160xf32>, tensor<4xi32> -> tensor<?x160xf32> {
  ^bb0(%rows: tensor<?x160xf32>, %e: index):
    moe.yield %rows : tensor<?x160xf32>
  }
  // CHECK: return %[[XS]]
  return %ys : tensor<?x160xf32>
}

// CHECK-LABEL: func @no_update(
// CHECK-SAME:    %[[B:[^:]*]]: tensor<16xf32>
func.func @no_update(%b: tensor<16xf32>, %counts: tensor<16xi32>) -> tensor<16xf32> {
  %next = moe.bias_update sign %b, %counts rate 0.0 : tensor<16xf32>, tensor<16xi32>
  // CHECK: return %[[B]]
  return %next : tensor<16xf32>
}

// CHECK-LABEL: func @neutral_clauses(
func.func @neutral_clauses(%s: tensor<?x16xf32>, %idx: tensor<?x4xi32>) -> tensor<?x4xf32> {
  // CHECK: moe.weigh %{{.*}} at %{{.*}} norm sum : tensor<?x16xf32>, tensor<?x4xi32>
  %w = moe.weigh %s at %idx norm sum plus 0.0 scale 1.0 : tensor<?x16xf32>, tensor<?x4xi32>
  return %w : tensor<?x4xf32>
}
