// Slots sorted by expert, rows sent there, and what comes back.

func.func @assign(%idx: tensor<?x3xi32> {moe.dims = ["T", 3]})
    -> (tensor<?x3xi32> {moe.dims = ["T", 3]}, tensor<?x3xi32> {moe.dims = ["T", 3]}, tensor<6xi32>) {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %idx, %c0 : tensor<?x3xi32>
  %row, %perm, %offsets = moe.assign %idx into 5 : tensor<?x3xi32>
  // The extents of an argument and of a result are a symbol, but never a product.
  %perm3 = tensor.expand_shape %perm [[0, 1]] output_shape [%t, 3] : tensor<?xi32> into tensor<?x3xi32>
  return %row, %perm3, %offsets : tensor<?x3xi32>, tensor<?x3xi32>, tensor<6xi32>
}

func.func @dispatch(%x: tensor<?x19xf32> {moe.dims = ["T", 19]}, %perm: tensor<?xi32> {moe.dims = ["N"]})
    -> (tensor<?x19xf32> {moe.dims = ["N", 19]}) {
  %xs = moe.dispatch %x by %perm top 3 : tensor<?x19xf32>, tensor<?xi32>
  return %xs : tensor<?x19xf32>
}

func.func @combine(%ys: tensor<?x19xf32> {moe.dims = ["N", 19]}, %row: tensor<?x3xi32> {moe.dims = ["T", 3]},
                   %w: tensor<?x3xf32> {moe.dims = ["T", 3]}) -> (tensor<?x19xf32> {moe.dims = ["T", 19]}) {
  %y = moe.combine %ys, %row, %w : tensor<?x19xf32>, tensor<?x3xi32>, tensor<?x3xf32>
  return %y : tensor<?x19xf32>
}
