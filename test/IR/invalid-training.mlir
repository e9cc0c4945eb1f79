// RUN: moe-opt %s -split-input-file -verify-diagnostics

// One case for each label of a constraint where ops are defined, named after it.

func.func @aux_loss_c1(%s: tensor<?x16xf32>) {
  // expected-error @below {{'moe.aux_loss' op expected indices with balance}}
  %l = moe.aux_loss balance %s : tensor<?x16xf32>
  return
}

// -----

func.func @aux_loss_c1_groups(%s: tensor<?x16xf32>, %cu: tensor<?xi32>) {
  // expected-error @below {{'moe.aux_loss' op expected no groups with z}}
  %l = moe.aux_loss z %s of(%cu : tensor<?xi32>) : tensor<?x16xf32>
  return
}

// -----

func.func @aux_loss_c2(%s: tensor<3x16xf32>, %idx: tensor<5x4xi32>) {
  // expected-error @below {{'moe.aux_loss' op expected indices for 3 tokens, got 5}}
  %l = moe.aux_loss balance %s at(%idx : tensor<5x4xi32>) : tensor<3x16xf32>
  return
}

// -----

func.func @bias_update_c1(%b: tensor<16xf32>, %c: tensor<15xi32>) {
  // expected-error @below {{'moe.bias_update' op expected a static bias and as many counts, got 16 and 15}}
  %n = moe.bias_update sign %b, %c rate 0.1 : tensor<16xf32>, tensor<15xi32>
  return
}

// -----

func.func @noise_c1(%s: tensor<3xi32>, %l: tensor<?x16xf32>) {
  // expected-error @below {{'moe.noise' op expected a seed of 2 elements, got 3}}
  %n = moe.noise uniform %s like %l : tensor<3xi32>, tensor<?x16xf32>
  return
}
