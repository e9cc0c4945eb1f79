// RUN: moe-opt %s --moe-cpu-lower-grouped-matmul -split-input-file -verify-diagnostics

func.func @no_level(%x: memref<?x64xf32>, %w: memref<1x64x32xf32>, %y: memref<?x32xf32>) {
  // expected-error @below {{expected a function with `moe.isa`}}
  moe.grouped_matmul packed f32 ins(%x, %w : memref<?x64xf32>, memref<1x64x32xf32>) outs(%y : memref<?x32xf32>)
  return
}

// -----

func.func @no_dots(%x: memref<?x64xf32>, %w: memref<1x1152xi8>, %y: memref<?x32xf32>) attributes {moe.isa = "v4"} {
  // expected-error @below {{'moe.grouped_matmul' op expected a level with dot products for compute int8, such as vnni, got v4}}
  moe.grouped_matmul packed q4_0 compute int8 ins(%x, %w : memref<?x64xf32>, memref<1x1152xi8>)
    outs(%y : memref<?x32xf32>)
  return
}
