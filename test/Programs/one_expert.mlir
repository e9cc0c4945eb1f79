// A block whose only expert has all tokens.

!rows = tensor<?x36xf32>
!hidden = tensor<?x23xf32>
!up = tensor<1x23x36xbf16>
!down = tensor<1x36x23xbf16>

moe.parameter @router : tensor<1x36xbf16> from "mlp.gate.weight"
moe.parameter @gate : tensor<1x23x36xbf16> from "mlp.experts.{0}.gate_proj.weight"
moe.parameter @up : tensor<1x23x36xbf16> from "mlp.experts.{0}.up_proj.weight"
moe.parameter @down : tensor<1x36x23xbf16> from "mlp.experts.{0}.down_proj.weight"

func.func @block(%x: !rows {moe.dims = ["T", 36]}) -> (!rows {moe.dims = ["T", 36]}) {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : !rows
  %router = moe.load_parameter @router : tensor<1x36xbf16>
  %gate = moe.load_parameter @gate : !up
  %up = moe.load_parameter @up : !up
  %down = moe.load_parameter @down : !down
  %empty = tensor.empty(%t) : tensor<?x1xf32>
  %logits = moe.grouped_matmul ins(%x, %router : !rows, tensor<1x36xbf16>)
              outs(%empty : tensor<?x1xf32>) -> tensor<?x1xf32>
  %s = moe.score softmax %logits : tensor<?x1xf32>
  %idx = moe.select %s top 1 : tensor<?x1xf32>
  %w = moe.weigh %s at %idx : tensor<?x1xf32>, tensor<?x1xi32>
  %row, %perm, %offsets = moe.assign %idx into 1 : tensor<?x1xi32>
  %xs = moe.dispatch %x by %perm top 1 : !rows, tensor<?xi32>
  %n = tensor.dim %xs, %c0 : !rows
  %wide = tensor.empty(%n) : !hidden
  %g = moe.grouped_matmul ins(%xs, %gate : !rows, !up) offsets(%offsets : tensor<2xi32>) outs(%wide : !hidden) -> !hidden
  %u = moe.grouped_matmul ins(%xs, %up : !rows, !up) offsets(%offsets : tensor<2xi32>) outs(%wide : !hidden) -> !hidden
  %h = moe.glu swiglu %g, %u : !hidden
  %init = tensor.empty(%n) : !rows
  %ys = moe.grouped_matmul ins(%h, %down : !hidden, !down) offsets(%offsets : tensor<2xi32>) outs(%init : !rows) -> !rows
  %y = moe.combine %ys, %row, %w : !rows, tensor<?x1xi32>, tensor<?x1xf32>
  return %y : !rows
}
