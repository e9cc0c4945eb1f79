// The rows of each expert times that expert's matrix, of a checkpoint or an argument.

moe.parameter @narrow.weight : tensor<5x23x36xbf16> from "narrow.experts.{0}.weight"
moe.parameter @wide.weight : tensor<3x232x704xbf16> from "wide.experts.{0}.weight"

func.func @narrow(%x: tensor<?x36xf32>, %offsets: tensor<6xi32>) -> tensor<?x23xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x36xf32>
  %w = moe.load_parameter @narrow.weight : tensor<5x23x36xbf16>
  %init = tensor.empty(%n) : tensor<?x23xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x36xf32>, tensor<5x23x36xbf16>)
         offsets(%offsets : tensor<6xi32>) outs(%init : tensor<?x23xf32>) -> tensor<?x23xf32>
  return %y : tensor<?x23xf32>
}

func.func @wide(%x: tensor<?x704xf32>, %offsets: tensor<4xi32>) -> tensor<?x232xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x704xf32>
  %w = moe.load_parameter @wide.weight : tensor<3x232x704xbf16>
  %init = tensor.empty(%n) : tensor<?x232xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x704xf32>, tensor<3x232x704xbf16>)
         offsets(%offsets : tensor<4xi32>) outs(%init : tensor<?x232xf32>) -> tensor<?x232xf32>
  return %y : tensor<?x232xf32>
}

func.func @of_argument(%x: tensor<?x36xf32>, %offsets: tensor<6xi32>, %w: tensor<5x23x36xf32>) -> tensor<?x23xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x36xf32>
  %init = tensor.empty(%n) : tensor<?x23xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x36xf32>, tensor<5x23x36xf32>)
         offsets(%offsets : tensor<6xi32>) outs(%init : tensor<?x23xf32>) -> tensor<?x23xf32>
  return %y : tensor<?x23xf32>
}
