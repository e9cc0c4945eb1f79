// RUN: moe-opt %s --moe-cpu-lower-panels --canonicalize | FileCheck %s

// CHECK-LABEL: func @products(
// CHECK-SAME:    %[[ROWS:[^ ]*]]: memref<?xi8>, %[[W:[^ ]*]]: memref<?xf32>
func.func @products(%rows: memref<?xi8>, %w: memref<?xf32>, %sums: memref<?xf32>, %i: index) attributes {moe.isa = "v3"} {
  // CHECK-DAG: %[[DEPTH:.*]] = arith.constant 160 : i64
  // CHECK-DAG: memref.extract_aligned_pointer_as_index %[[ROWS]]
  // CHECK:     call @moe.panel.f32.f32.v3(%{{.*}}, %{{.*}}, %[[DEPTH]], {{.*}}) : (!llvm.ptr, i64, i64, i64, i64, !llvm.ptr, !llvm.ptr, !llvm.ptr)
  moe.panel_matmul f32 rows(%rows[%i] count %i : memref<?xi8>) depth 160 k(%i to %i) panel(%w[%i] : memref<?xf32>)
    into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xf32>)
  // One function serves all shapes.
  // CHECK:     call @moe.panel.f32.f32.v3(
  moe.panel_matmul f32 rows(%rows[%i] count %i : memref<?xi8>) depth 64 k(%i to %i) panel(%w[%i] : memref<?xf32>)
    into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xf32>)
  return
}

// CHECK-LABEL: func @bf16(
func.func @bf16(%rows: memref<?xi8>, %w: memref<?xbf16>, %sums: memref<?xf32>, %i: index) attributes {moe.isa = "v4"} {
  // CHECK: call @moe.panel.bf16.f32.v4(
  moe.panel_matmul bf16 rows(%rows[%i] count %i : memref<?xi8>) depth 160 k(%i to %i) panel(%w[%i] : memref<?xbf16>)
    into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xbf16>)
  return
}

// CHECK-LABEL: func @amx(
func.func @amx(%rows: memref<?xi8>, %w: memref<?xbf16>, %sums: memref<?xf32>, %i: index) attributes {moe.isa = "amx"} {
  // CHECK: call @moe.panel.bf16.bf16.amx(
  moe.panel_matmul bf16 compute bf16 rows(%rows[%i] count %i : memref<?xi8>) depth 160 k(%i to %i) panel(%w[%i] : memref<?xbf16>)
    into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xbf16>)
  return
}

// CHECK-LABEL: func @int8(
func.func @int8(%rows: memref<?xi8>, %w: memref<?xi8>, %sums: memref<?xf32>, %i: index) attributes {moe.isa = "vnni"} {
  // CHECK: call @moe.panel.q8_0.int8.vnni(
  moe.panel_matmul q8_0 compute int8 rows(%rows[%i] count %i : memref<?xi8>) depth 160 k(%i to %i) panel(%w[%i] : memref<?xi8>)
    into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xi8>)
  return
}

// CHECK-LABEL: func @decoded(
func.func @decoded(%rows: memref<?xi8>, %w: memref<?xi8>, %sums: memref<?xf32>, %i: index) attributes {moe.isa = "v3"} {
  // CHECK: call @moe.panel.mxfp4.f32.v3(
  moe.panel_matmul mxfp4 rows(%rows[%i] count %i : memref<?xi8>) depth 160 k(%i to %i) panel(%w[%i] : memref<?xi8>)
    into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xi8>)
  return
}

// CHECK-LABEL: func @decoded_for_tiles(
func.func @decoded_for_tiles(%rows: memref<?xi8>, %w: memref<?xi8>, %sums: memref<?xf32>, %i: index) attributes {moe.isa = "amx"} {
  // CHECK: call @moe.panel.mxfp4.bf16.amx(
  moe.panel_matmul mxfp4 compute bf16 rows(%rows[%i] count %i : memref<?xi8>) depth 160 k(%i to %i) panel(%w[%i] : memref<?xi8>)
    into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xi8>)
  return
}

// Two rows of four registers are carried, with the state of the prefetch.
// CHECK-LABEL: func private @moe.tile.f32.f32.2.v3(
// CHECK-SAME:    attributes {{{.*}}llvm.linkage = #llvm.linkage<internal>, moe.isa = "v3", target_cpu = "x86-64-v3"
// CHECK:         scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, i64, i64)
// CHECK-COUNT-4:   llvm.load %{{.*}} {alignment = 32 : i64} : !llvm.ptr -> vector<8xf32>
// CHECK:           vector.broadcast %{{.*}} : f32 to vector<8xf32>
// CHECK-COUNT-4:   vector.fma
// CHECK-COUNT-8:   llvm.intr.prefetch
// The last k, which are no whole step.
// CHECK:         scf.for

// Six rows of four registers do not fit: two walks, of which the first prefetches.
// CHECK-LABEL: func private @moe.tile.f32.f32.6.v3(
// CHECK:     llvm.intr.prefetch
// CHECK:     vector.fma
// CHECK-NOT: llvm.intr.prefetch
// CHECK:     return

// Pairs of bf16.
// CHECK-LABEL: func private @moe.tile.bf16.f32.1.v4(
// CHECK: %[[PAIR:.*]] = llvm.load %{{.*}} {alignment = 64 : i64} : !llvm.ptr -> vector<16xi32>
// CHECK: arith.shli %[[PAIR]]
// CHECK: arith.andi %[[PAIR]]

// CHECK-LABEL: func private @moe.panel.bf16.bf16.amx(
// CHECK: llvm.call_intrinsic "llvm.x86.tilezero.internal"
// CHECK: llvm.call_intrinsic "llvm.x86.tileloadd64.internal"
// CHECK: llvm.call_intrinsic "llvm.x86.tileloaddt164.internal"
// CHECK: llvm.call_intrinsic "llvm.x86.tdpbf16ps.internal"
// CHECK: llvm.call_intrinsic "llvm.x86.tilestored64.internal"

// Dot products are exact; then scales of columns and of the row.
// CHECK-LABEL: func private @moe.tile.q8_0.int8.1.vnni(
// CHECK-COUNT-16: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"
// CHECK:          %[[SCALES:.*]] = arith.extf %{{.*}} : vector<16xf16> to vector<16xf32>
// CHECK:          %[[FACTOR:.*]] = arith.mulf %[[SCALES]]
// CHECK:          %[[EXACT:.*]] = arith.sitofp
// CHECK:          vector.fma %[[EXACT]], %[[FACTOR]]

// A block of k is made f32 once for all tiles.
// CHECK-LABEL: func private @moe.panel.mxfp4.f32.v3(
// CHECK:         llvm.alloca
// CHECK:         llvm.call_intrinsic "llvm.x86.avx2.permps"
// CHECK:         call @moe.tile.mxfp4.f32.1.v3(

// For tiles, as pairs of bf16.
// CHECK-LABEL: func private @moe.panel.mxfp4.bf16.amx(
// CHECK:         llvm.alloca
// CHECK:         %[[FIRST:.*]] = arith.shrui
// CHECK:         llvm.call_intrinsic "llvm.x86.tdpbf16ps.internal"
