// Two layers in a loop: one function for both, which updates the residual stream in place.

!rows = tensor<?x36xf32>
!hidden = tensor<?x23xf32>
!logits = tensor<?x7xf32>
!up = tensor<7x23x36xbf16>
!down = tensor<7x36x23xbf16>
!offsets = tensor<8xi32>

moe.parameter @dense : tensor<2x36x36xbf16> from "layers.{0}.dense.weight"
moe.parameter @router : tensor<2x7x36xbf16> from "layers.{0}.gate.weight"
moe.parameter @gate : tensor<2x7x23x36xbf16> from "layers.{0}.experts.{1}.gate_proj.weight"
moe.parameter @up : tensor<2x7x23x36xbf16> from "layers.{0}.experts.{1}.up_proj.weight"
moe.parameter @down : tensor<2x7x36x23xbf16> from "layers.{0}.experts.{1}.down_proj.weight"

func.func private @layer(%l: index, %x: !rows) -> !rows {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : !rows
  %dense = moe.load_parameter @dense[%l] : tensor<36x36xbf16>
  %empty = tensor.empty(%t) : !rows
  %a = moe.grouped_matmul ins(%x, %dense : !rows, tensor<36x36xbf16>) outs(%empty : !rows) -> !rows

  %router = moe.load_parameter @router[%l] : tensor<7x36xbf16>
  %scratch = tensor.empty(%t) : !logits
  %logits = moe.grouped_matmul ins(%a, %router : !rows, tensor<7x36xbf16>) outs(%scratch : !logits) -> !logits
  %s = moe.score softmax %logits : !logits
  %idx = moe.select %s top 3 : !logits
  %w = moe.weigh %s at %idx : !logits, tensor<?x3xi32>

  %gate = moe.load_parameter @gate[%l] : !up
  %up = moe.load_parameter @up[%l] : !up
  %down = moe.load_parameter @down[%l] : !down
  %row, %perm, %offsets = moe.assign %idx into 7 : tensor<?x3xi32>
  %xs = moe.dispatch %a by %perm top 3 : !rows, tensor<?xi32>
  %n = tensor.dim %xs, %c0 : !rows
  %wide = tensor.empty(%n) : !hidden
  %g = moe.grouped_matmul ins(%xs, %gate : !rows, !up) offsets(%offsets : !offsets) outs(%wide : !hidden) -> !hidden
  %u = moe.grouped_matmul ins(%xs, %up : !rows, !up) offsets(%offsets : !offsets) outs(%wide : !hidden) -> !hidden
  %h = moe.glu swiglu %g, %u : !hidden
  %init = tensor.empty(%n) : !rows
  %ys = moe.grouped_matmul ins(%h, %down : !hidden, !down) offsets(%offsets : !offsets) outs(%init : !rows) -> !rows
  %y = moe.combine %ys, %row, %w : !rows, tensor<?x3xi32>, tensor<?x3xf32>
  %next = linalg.add ins(%x, %y : !rows, !rows) outs(%x : !rows) -> !rows
  return %next : !rows
}

func.func @stack(%x: !rows) -> !rows {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %t = tensor.dim %x, %c0 : !rows
  // The stream is a buffer of its own: arguments are read only.
  %empty = tensor.empty(%t) : !rows
  %stream = linalg.copy ins(%x : !rows) outs(%empty : !rows) -> !rows
  %y = scf.for %l = %c0 to %c2 step %c1 iter_args(%carried = %stream) -> !rows {
    %next = func.call @layer(%l, %carried) : (index, !rows) -> !rows
    scf.yield %next : !rows
  }
  return %y : !rows
}
