// RUN: moe-opt %s --moe-cpu-lower-grouped-matmul -verify-diagnostics

func.func @no_level(%x: memref<?x64xf32>, %w: memref<1x64x32xf32>, %y: memref<?x32xf32>) {
  // expected-error @below {{expected a function with `moe.isa`}}
  moe.grouped_matmul packed ins(%x, %w : memref<?x64xf32>, memref<1x64x32xf32>) outs(%y : memref<?x32xf32>)
  return
}
