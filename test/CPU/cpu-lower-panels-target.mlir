// RUN: moe-opt %s --split-input-file --moe-cpu-lower-panels --canonicalize | FileCheck %s

// 640 k of a panel take two thirds of L1 with AMX; of 12 rows in f32, half of it.
module attributes {dlti.target_system_spec = #dlti.target_system_spec<
    "CPU" = #dlti.target_device_spec<"L1_cache_size_in_bytes" = 61440 : i64>>} {
  // CHECK-LABEL: func private @moe.panel.bf16.bf16.amx(
  // CHECK:         arith.constant 640 : i64
  func.func @amx(%rows: memref<?xi8>, %w: memref<?xbf16>, %sums: memref<?xf32>, %i: index) attributes {moe.isa = "amx"} {
    moe.panel_matmul bf16 compute bf16 rows(%rows[%i] count %i : memref<?xi8>) depth 2048 k(%i to %i) panel(%w[%i] : memref<?xbf16>)
      into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xbf16>)
    return
  }
  // CHECK-LABEL: func private @moe.panel.f32.f32.v4(
  // CHECK:         arith.constant 640 : i64
  func.func @f32(%rows: memref<?xi8>, %w: memref<?xf32>, %sums: memref<?xf32>, %i: index) attributes {moe.isa = "v4"} {
    moe.panel_matmul f32 rows(%rows[%i] count %i : memref<?xi8>) depth 2048 k(%i to %i) panel(%w[%i] : memref<?xf32>)
      into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xf32>)
    return
  }
}

// -----

// What was found by measuring a kernel wins, and is no other kernel's.
module attributes {dlti.target_system_spec = #dlti.target_system_spec<"CPU" = #dlti.target_device_spec<
    "L1_cache_size_in_bytes" = 61440 : i64, "kernels" = #dlti.map<"amx bf16*bf16" = #dlti.map<"block_k" = 192 : i64>>>>} {
  // CHECK-LABEL: func private @moe.panel.bf16.bf16.amx(
  // CHECK-NOT:     arith.constant 640 : i64
  // CHECK:         arith.constant 192 : i64
  func.func @amx(%rows: memref<?xi8>, %w: memref<?xbf16>, %sums: memref<?xf32>, %i: index) attributes {moe.isa = "amx"} {
    moe.panel_matmul bf16 compute bf16 rows(%rows[%i] count %i : memref<?xi8>) depth 2048 k(%i to %i) panel(%w[%i] : memref<?xbf16>)
      into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xbf16>)
    return
  }
  // CHECK-LABEL: func private @moe.panel.f32.f32.v4(
  // CHECK:         arith.constant 640 : i64
  func.func @f32(%rows: memref<?xi8>, %w: memref<?xf32>, %sums: memref<?xf32>, %i: index) attributes {moe.isa = "v4"} {
    moe.panel_matmul f32 rows(%rows[%i] count %i : memref<?xi8>) depth 2048 k(%i to %i) panel(%w[%i] : memref<?xf32>)
      into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xf32>)
    return
  }
}
