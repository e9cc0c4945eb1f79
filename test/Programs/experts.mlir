// Experts whose indices and weights are arguments, in sizes that divide nothing.

!rows = tensor<?x36xf32>
!hidden = tensor<?x23xf32>
!up = tensor<5x23x36xbf16>
!down = tensor<5x36x23xbf16>

moe.parameter @gate : tensor<5x23x36xbf16> from "experts.{0}.gate.weight"
moe.parameter @up : tensor<5x23x36xbf16> from "experts.{0}.up.weight"
moe.parameter @down : tensor<5x36x23xbf16> from "experts.{0}.down.weight"

func.func @experts(%x: !rows {moe.dims = ["T", 36]}, %idx: tensor<?x2xi32> {moe.dims = ["T", 2]},
                   %w: tensor<?x2xf32> {moe.dims = ["T", 2]}) -> (!rows {moe.dims = ["T", 36]}) {
  %c0 = arith.constant 0 : index
  %gate = moe.load_parameter @gate : !up
  %up = moe.load_parameter @up : !up
  %down = moe.load_parameter @down : !down
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
