// RUN: moe-opt %s -split-input-file -verify-diagnostics

// As invalid.mlir, for attention over a cache.

func.func @attention_c1(%q: memref<?x6x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // expected-error @below {{'moe.attention' op expected a multiple of 4 query heads, got 6}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x6x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x6x40xf32>) {scale = 1.0 : f32}
  return
}

// -----

func.func @attention_c1_static(%q: memref<?x?x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // expected-error @below {{'moe.attention' op expected static heads and head size, got 'memref<?x?x40xf32>' and 'memref<4x?x4x?x40xf32>'}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x?x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x?x40xf32>) {scale = 1.0 : f32}
  return
}

// -----

func.func @attention_c1_size(%q: memref<?x4x32xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // expected-error @below {{'moe.attention' op expected caches of head size 32, got 40}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x32xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x4x32xf32>) {scale = 1.0 : f32}
  return
}

// -----

func.func @attention_c2(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index,
                        %init: memref<?x8x40xf32>) {
  // expected-error @below {{'moe.attention' op expected outs of the shape of the queries, [?,4,40], got [?,8,40]}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%init : memref<?x8x40xf32>) {scale = 1.0 : f32}
  return
}

// -----

func.func @attention_c3(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // expected-error @below {{'moe.attention' op expected a window of at least 1, got 0}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x4x40xf32>)
    {scale = 1.0 : f32, window = 0 : i64}
  return
}

// -----

func.func @attention_c3_scale(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // expected-error @below {{'moe.attention' op expected a finite scale, got INF}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x4x40xf32>) {scale = 0x7F800000 : f32}
  return
}

// -----

func.func @attention_c3_softcap(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // expected-error @below {{'moe.attention' op expected a finite softcap above 0, got 0.000000e+00}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x4x40xf32>)
    {scale = 1.0 : f32, softcap = 0.0 : f32}
  return
}

// -----

func.func @attention_c3_infinite_softcap(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // expected-error @below {{'moe.attention' op expected a finite softcap above 0, got INF}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x4x40xf32>)
    {scale = 1.0 : f32, softcap = 0x7F800000 : f32}
  return
}

// -----

func.func @attention_c3_chunk(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // expected-error @below {{'moe.attention' op expected a chunk of at least 1, got -1}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) outs(%q : memref<?x4x40xf32>)
    {scale = 1.0 : f32, chunk = -1 : i64}
  return
}

// -----

func.func @attention_c4(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index, %sinks: memref<1xf32>) {
  // expected-error @below {{'moe.attention' op expected 4 sinks, got 1}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) sinks(%sinks : memref<1xf32>) outs(%q : memref<?x4x40xf32>)
    {scale = 1.0 : f32}
  return
}

// -----

func.func @attention_c5(%q: memref<?x4x40xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index, %bias: memref<4x8xf32>) {
  // expected-error @below {{'moe.attention' op expected a static bias of 4 rows and an odd number of columns, got [4,8]}}
  moe.attention ins(%q, %cu, %cu, %cu : memref<?x4x40xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>)
    cache(%cache, %cache at %l : memref<4x?x4x?x40xf32>) bias(%bias : memref<4x8xf32>) outs(%q : memref<?x4x40xf32>)
    {scale = 1.0 : f32}
  return
}

// -----

func.func @cache_update_c1(%k: memref<?x4x32xf32>, %cu: memref<?xi32>, %cache: memref<4x?x4x?x40xf32>, %l: index) {
  // expected-error @below {{'moe.cache_update' op expected rows of the cache's static [4,40], got [4,32]}}
  moe.cache_update %k, %cu, %cu, %cu into %cache[%l]
    : memref<?x4x32xf32>, memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<4x?x4x?x40xf32>
  return
}
