// RUN: moe-opt %s --moe-fuse-expert-ffn -split-input-file -verify-diagnostics | FileCheck %s

// CHECK-LABEL: func @ffn(
// CHECK-SAME:    %[[X:[^:]*]]: tensor<?x8xf32>, %[[IDX:[^:]*]]: tensor<?x2xi32>, %[[W:[^:]*]]: tensor<?x2xf32>
// CHECK-SAME:    %[[GATE:[^:]*]]: tensor<4x16x8xf32>, %[[UP:[^:]*]]: tensor<4x16x8xf32>, %[[DOWN:[^:]*]]: tensor<4x8x16xf32>
func.func @ffn(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // CHECK-NOT:  moe.assign
  // CHECK:      %[[T:.*]] = tensor.dim %[[X]]
  // CHECK:      %[[E:.*]] = tensor.empty(%[[T]]) : tensor<?x8xf32>
  // CHECK-NEXT: %[[Y:.*]] = moe.expert_ffn swiglu ins(%[[X]], %[[IDX]], %[[W]] :
  // CHECK-SAME:   weights(%[[GATE]], %[[UP]], %[[DOWN]] :
  // CHECK-SAME:   outs(%[[E]] :
  // CHECK-NEXT: return %[[Y]]
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}

// -----

// The counts of tokens per expert may have other users.
// CHECK-LABEL: func @offsets_used(
func.func @offsets_used(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<5xi32>) {
  // CHECK: %[[OFFSETS:offsets.*]] = moe.assign
  // CHECK: %[[Y:.*]] = moe.expert_ffn
  // CHECK: return %[[Y]], %[[OFFSETS]]
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y, %offsets : tensor<?x8xf32>, tensor<5xi32>
}

// -----

// A second use of the activation would compute it twice.
func.func @activation_used(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x16xf32>) {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  // expected-remark @below {{not fused into an expert_ffn: the rows of the down projection are not a moe.glu, used once}}
  %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y, %h : tensor<?x8xf32>, tensor<?x16xf32>
}

// -----

func.func @no_glu(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%g, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  // expected-remark @below {{not fused into an expert_ffn: the rows of the down projection are not a moe.glu, used once}}
  %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}

// -----

func.func @up_of_other_rows(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%x, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  // expected-remark @below {{not fused into an expert_ffn: the products do not share the rows of one moe.dispatch}}
  %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}

// -----

func.func @other_slots(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 1 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  // expected-remark @below {{not fused into an expert_ffn: the moe.dispatch is for another number of slots}}
  %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}

// -----

func.func @other_assign(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %row2, %perm2, %offsets2 = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  // expected-remark @below {{not fused into an expert_ffn: the combined rows are not a product of this moe.assign, used once}}
  %y = moe.combine %ys, %row2, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}

// -----

func.func @no_assign(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  // expected-remark @below {{not fused into an expert_ffn: the rows are not those of a moe.assign}}
  %y = moe.combine %ys, %idx, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}

// -----

func.func @gate_used(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x16xf32>) {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  // expected-remark @below {{not fused into an expert_ffn: what is activated are not products of this moe.assign, each used once}}
  %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y, %g : tensor<?x8xf32>, tensor<?x16xf32>
}

// -----

func.func @several_types(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xbf16>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xbf16>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  // expected-remark @below {{not fused into an expert_ffn: the weights have several element types}}
  %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}

// -----


// CHECK-LABEL: func @limited(
func.func @limited(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>,
    %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  // CHECK: moe.expert_ffn swiglu alpha 1.702000e+00 offset 1.000000e+00 limit 7.000000e+00 post ins(
  %h = moe.glu swiglu %g, %u alpha 1.702 offset 1.0 limit 7.0 post : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}

// -----

// CHECK-LABEL: func @biased(
// CHECK-SAME:    %[[B:[^:]*]]: tensor<4x16xf32>, %[[C:[^:]*]]: tensor<4x16xf32>, %[[D:[^:]*]]: tensor<4x8xbf16>
func.func @biased(%b: tensor<4x16xf32>, %c: tensor<4x16xf32>, %d: tensor<4x8xbf16>, %x: tensor<?x8xf32>, %idx: tensor<?x2xi32>,
    %w: tensor<?x2xf32>, %gate: tensor<4x16x8xf32>, %up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>,
    %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %g = moe.grouped_matmul ins(%xs, %gate : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %gb = moe.group_add %g, %b by %offsets : tensor<?x16xf32>, tensor<4x16xf32>, tensor<5xi32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %ub = moe.group_add %u, %c by %offsets : tensor<?x16xf32>, tensor<4x16xf32>, tensor<5xi32>
  %h = moe.glu swiglu %gb, %ub : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  %yb = moe.group_add %ys, %d by %offsets : tensor<?x8xf32>, tensor<4x8xbf16>, tensor<5xi32>
  // CHECK-NOT: moe.group_add
  // CHECK: moe.expert_ffn swiglu ins({{.*}}) weights({{.*}}) biases(%[[B]], %[[C]], %[[D]] :
  %y = moe.combine %yb, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}

// -----

func.func @some_biased(%x: tensor<?x8xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %up: tensor<4x16x8xf32>,
    %down: tensor<4x8x16xf32>, %d: tensor<4x8xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu relu %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  %yb = moe.group_add %ys, %d by %offsets : tensor<?x8xf32>, tensor<4x8xf32>, tensor<5xi32>
  // expected-remark @below {{not fused into an expert_ffn: some products have a bias and some have none}}
  %y = moe.combine %yb, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}

// -----

// CHECK-LABEL: func @ungated(
// CHECK-SAME:    %[[UP:[^:]*]]: tensor<4x16x8xf32>, %[[DOWN:[^:]*]]: tensor<4x8x16xf32>
func.func @ungated(%up: tensor<4x16x8xf32>, %down: tensor<4x8x16xf32>, %x: tensor<?x8xf32>, %idx: tensor<?x2xi32>,
    %w: tensor<?x2xf32>, %e16: tensor<?x16xf32>, %e8: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
  %u = moe.grouped_matmul ins(%xs, %up : tensor<?x8xf32>, tensor<4x16x8xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e16 : tensor<?x16xf32>) -> tensor<?x16xf32>
  %h = moe.glu relu %u : tensor<?x16xf32>
  %ys = moe.grouped_matmul ins(%h, %down : tensor<?x16xf32>, tensor<4x8x16xf32>) offsets(%offsets : tensor<5xi32>)
         outs(%e8 : tensor<?x8xf32>) -> tensor<?x8xf32>
  // CHECK: moe.expert_ffn relu ins({{.*}}) weights(%[[UP]], %[[DOWN]] :
  %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : tensor<?x8xf32>
}
