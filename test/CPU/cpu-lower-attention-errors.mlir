// RUN: moe-opt %s --moe-cpu-lower-attention --verify-diagnostics

!ids = memref<?xi32>
!cache = memref<2x?x3x?x40xf32>
!strided = memref<?x3x40xf32, strided<[1, 40, 120]>>

func.func @strided(%rows: !strided, %cu: !ids, %past: !ids, %slot: !ids, %k: !cache, %l: index)
    attributes {moe.isa = "v4"} {
  // expected-error@+1 {{'moe.cache_update' op expected a buffer whose last dimension has stride 1, got 'memref<?x3x40xf32, strided<[1, 40, 120]>>'}}
  moe.cache_update %rows, %cu, %past, %slot into %k[%l] : !strided, !ids, !ids, !ids, !cache
  return
}
