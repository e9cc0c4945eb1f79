// RUN: moe-opt %s -split-input-file -verify-diagnostics

// One case for each label of a constraint where ops are defined, named after it.

func.func @select_c1(%key: tensor<?x16xf32>) {
  // expected-error @below {{'moe.select' op expected between 1 and 16 experts per token, got 17}}
  %idx = moe.select %key top 17 : tensor<?x16xf32>
  return
}

// -----

func.func @select_c1_experts(%key: tensor<?x?xf32>) {
  // expected-error @below {{'moe.select' op expected a static number of experts, got 'tensor<?x?xf32>'}}
  %idx = moe.select %key top 4 : tensor<?x?xf32>
  return
}

// -----

func.func @select_c2(%key: tensor<?x16xf32>, %b: tensor<15xf32>) {
  // expected-error @below {{'moe.select' op expected a bias for 16 experts, got 15}}
  %idx = moe.select %key top 4 bias(%b : tensor<15xf32>) : tensor<?x16xf32>
  return
}

// -----

func.func @select_c3(%key: tensor<?x16xf32>) {
  // expected-error @below {{'moe.select' op expected a number of groups that divides 16 experts, got 3}}
  %idx = moe.select %key top 4 groups <3 keep 2 by 1 fill zero> : tensor<?x16xf32>
  return
}

// -----

func.func @select_c3_keep(%key: tensor<?x16xf32>) {
  // expected-error @below {{'moe.select' op expected between 1 and 4 groups to keep, got 5}}
  %idx = moe.select %key top 4 groups <4 keep 5 by 1 fill zero> : tensor<?x16xf32>
  return
}

// -----

func.func @select_c3_terms(%key: tensor<?x16xf32>) {
  // expected-error @below {{'moe.select' op expected between 1 and 4 keys in a group's score, got 5}}
  %idx = moe.select %key top 4 groups <4 keep 2 by 5 fill zero> : tensor<?x16xf32>
  return
}

// -----

func.func @weigh_c1(%s: tensor<3x16xf32>, %idx: tensor<5x4xi32>) {
  // expected-error @below {{'moe.weigh' op expected indices for 3 tokens, got 5}}
  %w = moe.weigh %s at %idx : tensor<3x16xf32>, tensor<5x4xi32>
  return
}

// -----

func.func @weigh_c2(%s: tensor<?x16xf32>, %idx: tensor<?x4xi32>) {
  // expected-error @below {{'moe.weigh' op expected plus or at_least, got both}}
  %w = moe.weigh %s at %idx norm sum plus 1.0 at_least 1.0 : tensor<?x16xf32>, tensor<?x4xi32>
  return
}

// -----

func.func @weigh_c2_norm(%s: tensor<?x16xf32>, %idx: tensor<?x4xi32>) {
  // expected-error @below {{'moe.weigh' op expected a norm with at_least}}
  %w = moe.weigh %s at %idx at_least 1.0 : tensor<?x16xf32>, tensor<?x4xi32>
  return
}

// -----

func.func @assign_c1(%idx: tensor<?x4xi32>) {
  // expected-error @below {{'moe.assign' op expected at least 1 expert, got 0}}
  %row, %perm, %offsets = moe.assign %idx into 0 : tensor<?x4xi32>
  return
}

// -----

func.func @route_c1(%logits: memref<?x2xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>) {
  // expected-error @below {{'moe.route' op expected between 1 and 2 experts per token, got 4}}
  moe.route softmax ins(%logits : memref<?x2xf32>) outs(%idx, %w : memref<?x4xi32>, memref<?x4xf32>)
  return
}

// -----

func.func @route_c2(%logits: memref<3x16xf32>, %idx: memref<5x4xi32>, %w: memref<3x4xf32>) {
  // expected-error @below {{'moe.route' op expected indices and weights of shape [3,4], got [5,4] and [3,4]}}
  moe.route softmax ins(%logits : memref<3x16xf32>) outs(%idx, %w : memref<5x4xi32>, memref<3x4xf32>)
  return
}

// -----

func.func @route_c3(%logits: memref<?x16xf32>, %bias: memref<8xbf16>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>) {
  // expected-error @below {{'moe.route' op expected a bias for 16 experts, got 8}}
  moe.route softmax ins(%logits : memref<?x16xf32>) bias(%bias : memref<8xbf16>)
    outs(%idx, %w : memref<?x4xi32>, memref<?x4xf32>)
  return
}

// -----

func.func @route_c3_groups(%logits: memref<?x16xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>) {
  // expected-error @below {{'moe.route' op expected a number of groups that divides 16 experts, got 3}}
  moe.route softmax ins(%logits : memref<?x16xf32>) groups <3 keep 1 by 1 fill zero>
    outs(%idx, %w : memref<?x4xi32>, memref<?x4xf32>)
  return
}

// -----

func.func @route_c3_divisor(%logits: memref<?x16xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>) {
  // expected-error @below {{'moe.route' op expected a norm with plus}}
  moe.route softmax ins(%logits : memref<?x16xf32>) plus 1.0 outs(%idx, %w : memref<?x4xi32>, memref<?x4xf32>)
  return
}

// -----

func.func @route_c4(%logits: memref<?x16xf32>, %idx: memref<?x4xi32>, %w: memref<?x4xf32>) {
  // expected-error @below {{'moe.route' op expected of_chosen without by_logits, above, until, norm and scale}}
  moe.route softmax of_chosen ins(%logits : memref<?x16xf32>) scale 2.0
    outs(%idx, %w : memref<?x4xi32>, memref<?x4xf32>)
  return
}

// -----

func.func @score_c1(%l: tensor<?x16xf32>) {
  // expected-error @below {{'moe.score' op expected softmax over tokens, got sigmoid}}
  %s = moe.score sigmoid %l over_tokens : tensor<?x16xf32>
  return
}

// -----

func.func @score_c1_groups(%l: tensor<?x16xf32>, %cu: tensor<?xi32>) {
  // expected-error @below {{'moe.score' op expected groups of tokens with over_tokens only}}
  %s = moe.score softmax %l of(%cu : tensor<?xi32>) : tensor<?x16xf32>
  return
}

// -----

func.func @limit_c1(%idx: tensor<?x4xi32>) {
  // expected-error @below {{'moe.limit' op expected at least 1 expert, got 0}}
  %kept = moe.limit %idx into 0 capacity <3> : tensor<?x4xi32>
  return
}

// -----

func.func @limit_c2(%idx: tensor<?x4xi32>, %p: tensor<?x2xf32>) {
  // expected-error @below {{'moe.limit' op expected priorities of shape [?,4], got [?,2]}}
  %kept = moe.limit %idx into 16 capacity <3> by(%p : tensor<?x2xf32>) : tensor<?x4xi32>
  return
}

// -----

func.func @limit_c3(%idx: tensor<?x4xi32>) {
  // expected-error @below {{'moe.limit' op expected a capacity of at least 1, got #moe.capacity<0>}}
  %kept = moe.limit %idx into 16 capacity <0> : tensor<?x4xi32>
  return
}

// -----

func.func @limit_c3_factor(%idx: tensor<?x4xi32>) {
  // expected-error @below {{'moe.limit' op expected a capacity of at least 1, got #moe.capacity<0.000000e+00 floor>}}
  %kept = moe.limit %idx into 16 capacity <0.0 floor> : tensor<?x4xi32>
  return
}
