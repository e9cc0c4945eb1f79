// Products of all kinds, in sizes that divide nothing, for weights in every format.

!x65 = tensor<?x65xf32>
!x33 = tensor<?x33xf32>
!x704 = tensor<?x704xf32>
!x1000 = tensor<?x1000xf32>
!x100 = tensor<?x100xf32>
!x47 = tensor<?x47xf32>
!x70 = tensor<?x70xf32>
!up = tensor<5x47x70xf32>
!down = tensor<5x70x47xf32>

moe.parameter @dense.weight : tensor<33x65xf32> from "dense"
moe.parameter @wide.weight : tensor<1000x704xf32> from "wide"
moe.parameter @grouped.weight : tensor<3x47x100xf32> from "grouped.{0}"
moe.parameter @gate : tensor<5x47x70xf32> from "experts.{0}.gate"
moe.parameter @up : tensor<5x47x70xf32> from "experts.{0}.up"
moe.parameter @down : tensor<5x70x47xf32> from "experts.{0}.down"

func.func @dense(%x: !x65) -> !x33 {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !x65
  %w = moe.load_parameter @dense.weight : tensor<33x65xf32>
  %init = tensor.empty(%n) : !x33
  %y = moe.grouped_matmul ins(%x, %w : !x65, tensor<33x65xf32>) outs(%init : !x33) -> !x33
  return %y : !x33
}

func.func @wide(%x: !x704) -> !x1000 {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !x704
  %w = moe.load_parameter @wide.weight : tensor<1000x704xf32>
  %init = tensor.empty(%n) : !x1000
  %y = moe.grouped_matmul ins(%x, %w : !x704, tensor<1000x704xf32>) outs(%init : !x1000) -> !x1000
  return %y : !x1000
}

func.func @grouped(%x: !x100, %offsets: tensor<4xi32>) -> !x47 {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !x100
  %w = moe.load_parameter @grouped.weight : tensor<3x47x100xf32>
  %init = tensor.empty(%n) : !x47
  %y = moe.grouped_matmul ins(%x, %w : !x100, tensor<3x47x100xf32>) offsets(%offsets : tensor<4xi32>)
         outs(%init : !x47) -> !x47
  return %y : !x47
}

func.func @experts(%x: !x70 {moe.dims = ["T", 70]}, %idx: tensor<?x2xi32> {moe.dims = ["T", 2]},
                   %w: tensor<?x2xf32> {moe.dims = ["T", 2]}) -> (!x70 {moe.dims = ["T", 70]}) {
  %c0 = arith.constant 0 : index
  %gate = moe.load_parameter @gate : !up
  %up = moe.load_parameter @up : !up
  %down = moe.load_parameter @down : !down
  %row, %perm, %offsets = moe.assign %idx into 5 : tensor<?x2xi32>
  %xs = moe.dispatch %x by %perm top 2 : !x70, tensor<?xi32>
  %n = tensor.dim %xs, %c0 : !x70
  %inner = tensor.empty(%n) : !x47
  %g = moe.grouped_matmul ins(%xs, %gate : !x70, !up) offsets(%offsets : tensor<6xi32>) outs(%inner : !x47) -> !x47
  %u = moe.grouped_matmul ins(%xs, %up : !x70, !up) offsets(%offsets : tensor<6xi32>) outs(%inner : !x47) -> !x47
  %h = moe.glu swiglu %g, %u : !x47
  %init = tensor.empty(%n) : !x70
  %ys = moe.grouped_matmul ins(%h, %down : !x47, !down) offsets(%offsets : tensor<6xi32>) outs(%init : !x70) -> !x70
  %y = moe.combine %ys, %row, %w : !x70, tensor<?x2xi32>, tensor<?x2xf32>
  return %y : !x70
}
