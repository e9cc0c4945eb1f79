// RUN: split-file %s %t
// RUN: moe-opt %t/graph.mlir --moe-verify-form=form=graph -verify-diagnostics
// RUN: moe-opt %t/fused.mlir --moe-verify-form=form=fused -verify-diagnostics
// RUN: moe-opt %t/buffers.mlir --moe-verify-form=form=buffers -verify-diagnostics
// RUN: moe-opt %t/loops.mlir --moe-verify-form=form=loops -verify-diagnostics
// RUN: moe-opt %t/target.mlir --moe-verify-form=form=target -verify-diagnostics

// Every op that does not belong is reported, not only the first; the others pass.

//--- graph.mlir

func.func @composite(%logits: tensor<?x16xf32>, %idx: tensor<?x4xi32>, %w: tensor<?x4xf32>) {
  %s = moe.score softmax %logits : tensor<?x16xf32>
  // expected-error @below {{'moe.route' op expected core ops, got a composite in the form graph}}
  %r:2 = moe.route softmax ins(%logits : tensor<?x16xf32>)
           outs(%idx, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return
}

func.func @packed(%x: tensor<?x160xf32>, %w: tensor<3x160x32xf32>, %init: tensor<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected weights as the checkpoint has them, got packed ones in the form graph}}
  %y = moe.grouped_matmul packed f32 ins(%x, %w : tensor<?x160xf32>, tensor<3x160x32xf32>)
         outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

//--- fused.mlir

func.func @memrefs(%logits: memref<?x16xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>) {
  // expected-error @below {{'moe.route' op expected tensors in the form fused}}
  moe.route softmax ins(%logits : memref<?x16xf32>) outs(%idx, %w : memref<?x4xi32>, memref<?x4xf32>)
  return
}

//--- buffers.mlir

moe.parameter @w : tensor<4x4xf32> from "w"

// expected-error @below {{'func.func' op expected a function without results in the form buffers}}
func.func @results(%x: memref<?xf32>) -> memref<?xf32> {
  return %x : memref<?xf32>
}

func.func @tensors() {
  // expected-error @below {{'tensor.empty' op expected no tensor in the form buffers}}
  %x = tensor.empty() : tensor<4xf32>
  return
}

func.func @copied_parameter(%out: memref<16xf32>) {
  %w = moe.load_parameter @w : memref<4x4xf32>
  %view = memref.collapse_shape %w [[0, 1]] : memref<4x4xf32> into memref<16xf32>
  // expected-error @below {{'memref.copy' op expected no copy of a parameter in the form buffers}}
  memref.copy %view, %out : memref<16xf32> to memref<16xf32>
  return
}

//--- loops.mlir

moe.parameter @w : tensor<4xf32> from "w"

func.func @unlowered(%logits: memref<?x16xf32>, %idx: memref<?x4xi32>, %weights: memref<?x4xf32>, %x: memref<4xf32>) {
  %w = moe.load_parameter @w : memref<4xf32>
  // expected-error @below {{'moe.route' op expected it to be lowered in the form loops}}
  moe.route softmax ins(%logits : memref<?x16xf32>) outs(%idx, %weights : memref<?x4xi32>, memref<?x4xf32>)
  // expected-error @below {{'linalg.copy' op expected it to be lowered in the form loops}}
  linalg.copy ins(%w : memref<4xf32>) outs(%x : memref<4xf32>)
  return
}

//--- target.mlir

moe.parameter @w : tensor<4xf32> from "w"

llvm.func @f() {
  llvm.return
}

// expected-error @below {{'func.func' op expected the llvm or omp dialect in the form target}}
func.func private @g()
