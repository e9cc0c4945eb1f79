// The block of Mixtral (arXiv:2401.04088): the weights of the chosen experts sum to 1.

!rows = tensor<?x40xf32>
!hidden = tensor<?x33xf32>
!up = tensor<5x33x40xbf16>
!down = tensor<5x40x33xbf16>

moe.parameter @router : tensor<5x40xbf16> from "block_sparse_moe.gate.weight"
moe.parameter @gate : tensor<5x33x40xbf16> from "block_sparse_moe.experts.{0}.w1.weight"
moe.parameter @up : tensor<5x33x40xbf16> from "block_sparse_moe.experts.{0}.w3.weight"
moe.parameter @down : tensor<5x40x33xbf16> from "block_sparse_moe.experts.{0}.w2.weight"

func.func @block(%x: !rows {moe.dims = ["T", 40]}) -> (!rows {moe.dims = ["T", 40]}) {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : !rows
  %router = moe.load_parameter @router : tensor<5x40xbf16>
  %gate = moe.load_parameter @gate : !up
  %up = moe.load_parameter @up : !up
  %down = moe.load_parameter @down : !down
  %empty = tensor.empty(%t) : tensor<?x5xf32>
  %logits = moe.grouped_matmul ins(%x, %router : !rows, tensor<5x40xbf16>)
              outs(%empty : tensor<?x5xf32>) -> tensor<?x5xf32>
  %s = moe.score softmax %logits : tensor<?x5xf32>
  %idx = moe.select %s top 2 : tensor<?x5xf32>
  %w = moe.weigh %s at %idx norm sum : tensor<?x5xf32>, tensor<?x2xi32>
  %row, %perm, %offsets = moe.assign %idx into 5 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : !rows, tensor<?xi32>
  %n = tensor.dim %xs, %c0 : !rows
  %wide = tensor.empty(%n) : !hidden
  %g = moe.grouped_matmul ins(%xs, %gate : !rows, !up) offsets(%offsets : tensor<6xi32>) outs(%wide : !hidden) -> !hidden
  %u = moe.grouped_matmul ins(%xs, %up : !rows, !up) offsets(%offsets : tensor<6xi32>) outs(%wide : !hidden) -> !hidden
  %h = moe.glu swiglu %g, %u : !hidden
  %init = tensor.empty(%n) : !rows
  %ys = moe.grouped_matmul ins(%h, %down : !hidden, !down) offsets(%offsets : tensor<6xi32>) outs(%init : !rows) -> !rows
  %y = moe.combine %ys, %row, %w : !rows, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : !rows
}
