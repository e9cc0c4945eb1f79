// RUN: moe-opt %s -split-input-file -verify-diagnostics

// One case for each label of a constraint where ops are defined, named after it.

func.func @dispatch_c1(%x: tensor<?x160xf32>, %perm: tensor<?xi32>) {
  // expected-error @below {{'moe.dispatch' op expected at least 1 expert per token, got 0}}
  %xs = moe.dispatch %x by %perm top 0 : tensor<?x160xf32>, tensor<?xi32>
  return
}

// -----

func.func @combine_c1(%ys: tensor<?x160xf32>, %row: tensor<?x4xi32>, %w: tensor<?x2xf32>) {
  // expected-error @below {{'moe.combine' op expected weights of shape [?,4], got [?,2]}}
  %y = moe.combine %ys, %row, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x2xf32>
  return
}

// -----

func.func @grouped_matmul_c1(%xs: tensor<?x160xf32>, %w: tensor<96x160xf32>, %offsets: tensor<17xi32>,
                             %init: tensor<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected static weights [E,out,in], got [96,160]}}
  %y = moe.grouped_matmul ins(%xs, %w : tensor<?x160xf32>, tensor<96x160xf32>) offsets(%offsets : tensor<17xi32>)
         outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// -----

func.func @grouped_matmul_c1_dense(%xs: tensor<?x160xf32>, %w: tensor<?x160xf32>, %init: tensor<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected static weights [out,in], got [?,160]}}
  %y = moe.grouped_matmul ins(%xs, %w : tensor<?x160xf32>, tensor<?x160xf32>)
         outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// -----

func.func @grouped_matmul_c2(%xs: tensor<?x160xf32>, %w: tensor<160x96xf32>, %init: tensor<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected weights of [96,160], got [160,96]}}
  %y = moe.grouped_matmul ins(%xs, %w : tensor<?x160xf32>, tensor<160x96xf32>)
         outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// -----

func.func @grouped_matmul_c3(%xs: tensor<?x160xf32>, %w: tensor<16x96x160xf32>, %offsets: tensor<16xi32>,
                             %init: tensor<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected 17 offsets, got 16}}
  %y = moe.grouped_matmul ins(%xs, %w : tensor<?x160xf32>, tensor<16x96x160xf32>) offsets(%offsets : tensor<16xi32>)
         outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// -----

func.func @grouped_matmul_c4(%xs: tensor<3x160xf32>, %w: tensor<96x160xf32>, %init: tensor<5x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected 3 rows in outs, got 5}}
  %y = moe.grouped_matmul ins(%xs, %w : tensor<3x160xf32>, tensor<96x160xf32>)
         outs(%init : tensor<5x96xf32>) -> tensor<5x96xf32>
  return
}

// -----

func.func @grouped_matmul_c5(%xs: memref<?x160xf32>, %w: memref<96x160xf32>, %init: memref<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected weights packed as [3,160,32] of 'f32', got 'memref<96x160xf32>'}}
  moe.grouped_matmul packed f32 ins(%xs, %w : memref<?x160xf32>, memref<96x160xf32>) outs(%init : memref<?x96xf32>)
  return
}

// -----

func.func @grouped_matmul_c5_element(%xs: memref<?x160xf32>, %w: memref<3x160x32xf32>, %init: memref<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected weights packed as [3,160,32] of 'f16', got 'memref<3x160x32xf32>'}}
  moe.grouped_matmul packed f16 ins(%xs, %w : memref<?x160xf32>, memref<3x160x32xf32>) outs(%init : memref<?x96xf32>)
  return
}

// -----

func.func @grouped_matmul_c5_bytes(%xs: memref<?x160xf32>, %w: memref<3x5440xi8>, %init: memref<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected weights packed as [3,2880] of 'i8', got 'memref<3x5440xi8>'}}
  moe.grouped_matmul packed q4_0 ins(%xs, %w : memref<?x160xf32>, memref<3x5440xi8>) outs(%init : memref<?x96xf32>)
  return
}

// -----

func.func @grouped_matmul_c5_floats(%xs: memref<?x160xf32>, %w: memref<96x160xi8>, %init: memref<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected weights of floats, got 'memref<96x160xi8>'}}
  moe.grouped_matmul ins(%xs, %w : memref<?x160xf32>, memref<96x160xi8>) outs(%init : memref<?x96xf32>)
  return
}

// -----

func.func @grouped_matmul_c6(%xs: memref<?x160xf32>, %w: memref<3x160x32xf16>, %init: memref<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected weights packed for compute bf16, got f16}}
  moe.grouped_matmul packed f16 compute bf16 ins(%xs, %w : memref<?x160xf32>, memref<3x160x32xf16>)
    outs(%init : memref<?x96xf32>)
  return
}

// -----

func.func @grouped_matmul_c6_unpacked(%xs: memref<?x160xf32>, %w: memref<96x160xbf16>, %init: memref<?x96xf32>) {
  // expected-error @below {{'moe.grouped_matmul' op expected weights packed for compute int8, got unpacked ones}}
  moe.grouped_matmul compute int8 ins(%xs, %w : memref<?x160xf32>, memref<96x160xbf16>) outs(%init : memref<?x96xf32>)
  return
}

// -----

func.func @expert_ffn_c1(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                         %up: memref<16x96x160xf32>) {
  // expected-error @below {{'moe.expert_ffn' op expected 3 weights, got 2}}
  moe.expert_ffn swiglu ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %up : memref<16x96x160xf32>, memref<16x96x160xf32>) outs(%x : memref<?x160xf32>)
  return
}

// -----

func.func @expert_ffn_c1_static(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                                %up: memref<16x?x160xf32>) {
  // expected-error @below {{'moe.expert_ffn' op expected weights of static shape, got 'memref<16x?x160xf32>'}}
  moe.expert_ffn swiglu ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %up, %up : memref<16x?x160xf32>, memref<16x?x160xf32>, memref<16x?x160xf32>)
    outs(%x : memref<?x160xf32>)
  return
}

// -----

func.func @expert_ffn_c2(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                         %up: memref<16x96x160xf32>) {
  // expected-error @below {{'moe.expert_ffn' op expected down of floats [16,160,96], got 'memref<16x96x160xf32>'}}
  moe.expert_ffn swiglu ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %up, %up : memref<16x96x160xf32>, memref<16x96x160xf32>, memref<16x96x160xf32>)
    outs(%x : memref<?x160xf32>)
  return
}

// -----

func.func @expert_ffn_c2_packed(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                                %up: memref<16x6x128x32xf32>, %down: memref<16x5x96x32xf32>) {
  // expected-error @below {{'moe.expert_ffn' op expected gate and up packed as [16,6,160,32] of 'f32', got 'memref<16x6x128x32xf32>'}}
  moe.expert_ffn swiglu packed f32 inner 96 ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %down : memref<16x6x128x32xf32>, memref<16x5x96x32xf32>) outs(%x : memref<?x160xf32>)
  return
}

// -----

func.func @expert_ffn_c3(%x: memref<3x160xf32>, %idx: memref<3x4xi32>, %w: memref<3x2xf32>,
                         %up: memref<16x96x160xf32>, %down: memref<16x160x96xf32>) {
  // expected-error @below {{'moe.expert_ffn' op expected indices, weights and outs of 3 tokens, got [3,4], [3,2] and [3,160]}}
  moe.expert_ffn swiglu ins(%x, %idx, %w : memref<3x160xf32>, memref<3x4xi32>, memref<3x2xf32>)
    weights(%up, %up, %down : memref<16x96x160xf32>, memref<16x96x160xf32>, memref<16x160x96xf32>)
    outs(%x : memref<3x160xf32>)
  return
}

// -----

func.func @expert_ffn_c4(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                         %up: memref<16x6x160x32xf32>, %down: memref<16x5x96x32xf32>) {
  // expected-error @below {{'moe.expert_ffn' op expected inner of at least 1 with packed, got 0}}
  moe.expert_ffn swiglu packed f32 inner 0 ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %down : memref<16x6x160x32xf32>, memref<16x5x96x32xf32>) outs(%x : memref<?x160xf32>)
  return
}

// -----

func.func @expert_ffn_c5(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                         %up: memref<16x6x160x32xf32>, %down: memref<16x5x96x32xf32>) {
  // expected-error @below {{'moe.expert_ffn' op expected weights packed for compute int8, got f32}}
  moe.expert_ffn swiglu packed f32 inner 96 compute int8
    ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %down : memref<16x6x160x32xf32>, memref<16x5x96x32xf32>) outs(%x : memref<?x160xf32>)
  return
}

// -----

func.func @expert_ffn_c6(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                         %up: memref<16x96x160xf32>, %down: memref<16x160x96xf32>) {
  // expected-error @below {{'moe.expert_ffn' op expected no offset with relu}}
  moe.expert_ffn relu offset 1.0 ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %down : memref<16x96x160xf32>, memref<16x160x96xf32>) outs(%x : memref<?x160xf32>)
  return
}

// -----

func.func @expert_ffn_c7(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                         %up: memref<16x96x160xf32>, %down: memref<16x160x96xf32>, %bias: memref<16x96xf32>) {
  // expected-error @below {{'moe.expert_ffn' op expected 3 biases, got 1}}
  moe.expert_ffn swiglu ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %up, %down : memref<16x96x160xf32>, memref<16x96x160xf32>, memref<16x160x96xf32>)
    biases(%bias : memref<16x96xf32>) outs(%x : memref<?x160xf32>)
  return
}

// -----

func.func @expert_ffn_c7_extents(%x: memref<?x160xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>,
                                 %up: memref<16x96x160xf32>, %down: memref<16x160x96xf32>, %bias: memref<16x96xf32>) {
  // expected-error @below {{'moe.expert_ffn' op expected down bias of floats [16,160], got 'memref<16x96xf32>'}}
  moe.expert_ffn gelu ins(%x, %idx, %w : memref<?x160xf32>, memref<?x4xi32>, memref<?x4xf32>)
    weights(%up, %down : memref<16x96x160xf32>, memref<16x160x96xf32>)
    biases(%bias, %bias : memref<16x96xf32>, memref<16x96xf32>) outs(%x : memref<?x160xf32>)
  return
}

// -----

func.func @panel_matmul_c1(%rows: memref<?xi8>, %w: memref<?xf32>, %sums: memref<?xf32>, %i: index) {
  // expected-error @below {{'moe.panel_matmul' op expected weights of 'bf16', got 'memref<?xf32>'}}
  moe.panel_matmul bf16 rows(%rows[%i] count %i : memref<?xi8>) depth 160 k(%i to %i) panel(%w[%i] : memref<?xf32>)
    into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xf32>)
  return
}

// -----

func.func @panel_matmul_c2(%rows: memref<?xi8>, %w: memref<?xf32>, %sums: memref<?xf32>, %i: index) {
  // expected-error @below {{'moe.panel_matmul' op expected a compute that goes with f32, got int8}}
  moe.panel_matmul f32 compute int8 rows(%rows[%i] count %i : memref<?xi8>) depth 160 k(%i to %i) panel(%w[%i] : memref<?xf32>)
    into(%sums[%i] : memref<?xf32>) ahead(%w[%i] : memref<?xf32>)
  return
}

// -----

func.func @group_add_c1(%ys: tensor<?x96xf32>, %b: tensor<16x95xf32>, %o: tensor<17xi32>) {
  // expected-error @below {{'moe.group_add' op expected a static bias [E,96] and E+1 offsets, got [16,95] and 17}}
  %z = moe.group_add %ys, %b by %o : tensor<?x96xf32>, tensor<16x95xf32>, tensor<17xi32>
  return
}

// -----

func.func @glu_c1(%g: tensor<?x96xf32>) {
  // expected-error @below {{'moe.glu' op expected alpha with swiglu, silu and situ, and beta with situ, which needs both; got reglu}}
  %h = moe.glu reglu %g, %g alpha 2.0 : tensor<?x96xf32>
  return
}

// -----

func.func @glu_c1_zero(%g: tensor<?x96xf32>) {
  // expected-error @below {{'moe.glu' op expected alpha and beta other than 0, got 0}}
  %h = moe.glu situ %g, %g alpha 4.0 beta 0.0 : tensor<?x96xf32>
  return
}

// -----

func.func @glu_c2(%g: tensor<?x96xf32>) {
  // expected-error @below {{'moe.glu' op expected a limit greater than 0, got -7}}
  %h = moe.glu swiglu %g, %g limit -7.0 : tensor<?x96xf32>
  return
}

// -----

func.func @glu_c2_post(%g: tensor<?x96xf32>) {
  // expected-error @below {{'moe.glu' op expected a limit with post}}
  %h = moe.glu swiglu %g, %g post : tensor<?x96xf32>
  return
}

// -----

func.func @glu_c3(%g: tensor<?x96xf32>) {
  // expected-error @below {{'moe.glu' op expected gate and up for swiglu}}
  %h = moe.glu swiglu %g : tensor<?x96xf32>
  return
}

// -----

func.func @glu_c3_ungated(%g: tensor<?x96xf32>) {
  // expected-error @below {{'moe.glu' op expected one operand for relu}}
  %h = moe.glu relu %g, %g : tensor<?x96xf32>
  return
}

// -----

func.func @glu_c3_offset(%g: tensor<?x96xf32>) {
  // expected-error @below {{'moe.glu' op expected no offset with gelu}}
  %h = moe.glu gelu %g offset 1.0 : tensor<?x96xf32>
  return
}

// -----

func.func @experts_c1(%xs: tensor<?x8xf32>, %o: tensor<4xi32>) {
  // expected-error @below {{'moe.experts' op expected 3 offsets, got 4}}
  %ys = moe.experts %xs by %o segments [2] : tensor<?x8xf32>, tensor<4xi32> -> tensor<?x8xf32> {
  ^bb0(%rows: tensor<?x8xf32>, %e: index):
    moe.yield %rows : tensor<?x8xf32>
  }
  return
}

// -----

func.func @experts_c1_bodies(%xs: tensor<?x8xf32>, %o: tensor<4xi32>) {
  // expected-error @below {{'moe.experts' op expected one body for each segment of at least 1 expert, got 1 for [2,1]}}
  %ys = moe.experts %xs by %o segments [2, 1] : tensor<?x8xf32>, tensor<4xi32> -> tensor<?x8xf32> {
  ^bb0(%rows: tensor<?x8xf32>, %e: index):
    moe.yield %rows : tensor<?x8xf32>
  }
  return
}

// -----

func.func @experts_c2(%xs: tensor<?x8xf32>, %o: tensor<3xi32>) {
  // expected-error @below {{'moe.experts' op expected body 0 to yield 'tensor<?x4xf32>', got 'tensor<?x8xf32>'}}
  %ys = moe.experts %xs by %o segments [2] : tensor<?x8xf32>, tensor<3xi32> -> tensor<?x4xf32> {
  ^bb0(%rows: tensor<?x8xf32>, %e: index):
    moe.yield %rows : tensor<?x8xf32>
  }
  return
}

// -----

func.func @experts_c2_arguments(%xs: tensor<?x8xf32>, %o: tensor<3xi32>) {
  // expected-error @below {{'moe.experts' op expected body 0 to take 'tensor<?x8xf32>' and index, got 'tensor<?x8xf32>'}}
  %ys = moe.experts %xs by %o segments [2] : tensor<?x8xf32>, tensor<3xi32> -> tensor<?x8xf32> {
  ^bb0(%rows: tensor<?x8xf32>):
    moe.yield %rows : tensor<?x8xf32>
  }
  return
}

// -----

func.func @soft_dispatch_c1(%x: tensor<3x8xf32>, %d: tensor<5x4xf32>) {
  // expected-error @below {{'moe.soft_dispatch' op expected weights for 3 tokens, got 5}}
  %xs = moe.soft_dispatch %x, %d : tensor<3x8xf32>, tensor<5x4xf32>
  return
}

// -----

func.func @soft_combine_c1(%ys: tensor<5x8xf32>, %c: tensor<?x4xf32>) {
  // expected-error @below {{'moe.soft_combine' op expected 4 rows, got 5}}
  %y = moe.soft_combine %ys, %c : tensor<5x8xf32>, tensor<?x4xf32>
  return
}

// -----

func.func @soft_combine_c1_slots(%ys: tensor<5x8xf32>, %c: tensor<?x?xf32>) {
  // expected-error @below {{'moe.soft_combine' op expected a static number of slots, got 'tensor<?x?xf32>'}}
  %y = moe.soft_combine %ys, %c : tensor<5x8xf32>, tensor<?x?xf32>
  return
}
