// RUN: moe-opt %s --moe-cpu-explain='levels=v4,amx threads=2 tokens=1,64' -o /dev/null | FileCheck %s

moe.parameter @layer.q : tensor<4x320x320xbf16> from "layers.{0}.q"
moe.parameter @layer.q.packed : tensor<4x10x10x2x16x16x2xbf16> pack of [@layer.q]
moe.parameter @head.w : tensor<64x320xf32> from "head"

// Two cores read 28.8 GB/s. 2 * 320 * 320 operations; 320 * 320 * 2 bytes, and 4 for each element of the rows.
// CHECK-LABEL: v4, threads 2
// CHECK:       layer x4
// CHECK-NEXT:    tokens         MB     MFLOP       bound        us  kernel
// CHECK-NEXT:    grouped_matmul @layer.q.packed
// CHECK-NEXT:         1      0.207      0.20      memory       7.2  fma 1x32 bf16*f32
// 64 rows are 5.8 tiles of 12: arithmetic takes 41.4 us, and of the 12.8 us of memory 4.8 / 5.8 come on top.
// CHECK-NEXT:        64      0.369     13.11  arithmetic      52.0  fma 11x32 bf16*f32
// CHECK-NEXT:    grouped_matmul @layer.q.packed
// CHECK-NEXT:         1      0.207      0.20      memory       7.2  fma 1x32 bf16*bf16
// 8 heads of 40 channels see 512 positions, and 2 heads of them are read.
// CHECK:         attention
// CHECK-NEXT:         1      0.328      0.66      memory      11.4  online softmax
// CHECK:       head
// CHECK-NOT:   x4
// CHECK:         grouped_matmul @head.w
// CHECK-NEXT:         1      0.083      0.04  arithmetic      24.8  scalar loops

// CHECK-LABEL: amx, threads 2
// CHECK:         grouped_matmul @layer.q.packed
// CHECK:         grouped_matmul @layer.q.packed
// CHECK-NEXT:         1 {{.*}} amx 1x32 bf16*bf16
// CHECK-NEXT:        64      0.369     13.11      memory      15.4  amx 32x32 bf16*bf16
func.func private @layer(%l: index, %x: tensor<?x320xf32>, %q3: tensor<?x8x40xf32>, %cu: tensor<?xi32>,
                         %past: tensor<?xi32>, %slot: tensor<?xi32>, %k: memref<4x?x2x?x40xf32>,
                         %v: memref<4x?x2x?x40xf32>) -> tensor<?x8x40xf32> {
  %w = moe.load_parameter @layer.q.packed[%l] : tensor<10x10x2x16x16x2xbf16>
  %exact = moe.grouped_matmul packed bf16 ins(%x, %w : tensor<?x320xf32>, tensor<10x10x2x16x16x2xbf16>)
      outs(%x : tensor<?x320xf32>) -> tensor<?x320xf32>
  %rounded = moe.grouped_matmul packed bf16 compute bf16 ins(%exact, %w : tensor<?x320xf32>, tensor<10x10x2x16x16x2xbf16>)
      outs(%x : tensor<?x320xf32>) -> tensor<?x320xf32>
  %o = moe.attention ins(%q3, %cu, %past, %slot : tensor<?x8x40xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>)
      cache(%k, %v at %l : memref<4x?x2x?x40xf32>) outs(%q3 : tensor<?x8x40xf32>) {scale = 1.0 : f32} -> tensor<?x8x40xf32>
  return %o : tensor<?x8x40xf32>
}

func.func private @head(%x: tensor<?x320xf32>, %y: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %w = moe.load_parameter @head.w : tensor<64x320xf32>
  %logits = moe.grouped_matmul ins(%x, %w : tensor<?x320xf32>, tensor<64x320xf32>) outs(%y : tensor<?x64xf32>)
      -> tensor<?x64xf32>
  return %logits : tensor<?x64xf32>
}
