// Rows times one matrix, of a checkpoint or an argument, in sizes that divide nothing.

moe.parameter @one.weight : tensor<1x1xbf16> from "one.weight"
moe.parameter @sum.weight : tensor<1x3xbf16> from "sum.weight"
moe.parameter @fan.weight : tensor<3x1xbf16> from "fan.weight"
moe.parameter @narrow.weight : tensor<23x36xbf16> from "narrow.weight"
moe.parameter @wide.weight : tensor<704x232xbf16> from "wide.weight"

func.func @one(%x: tensor<?x1xf32>) -> tensor<?x1xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x1xf32>
  %w = moe.load_parameter @one.weight : tensor<1x1xbf16>
  %init = tensor.empty(%n) : tensor<?x1xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x1xf32>, tensor<1x1xbf16>)
         outs(%init : tensor<?x1xf32>) -> tensor<?x1xf32>
  return %y : tensor<?x1xf32>
}

func.func @sum(%x: tensor<?x3xf32>) -> tensor<?x1xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x3xf32>
  %w = moe.load_parameter @sum.weight : tensor<1x3xbf16>
  %init = tensor.empty(%n) : tensor<?x1xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x3xf32>, tensor<1x3xbf16>)
         outs(%init : tensor<?x1xf32>) -> tensor<?x1xf32>
  return %y : tensor<?x1xf32>
}

func.func @fan(%x: tensor<?x1xf32>) -> tensor<?x3xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x1xf32>
  %w = moe.load_parameter @fan.weight : tensor<3x1xbf16>
  %init = tensor.empty(%n) : tensor<?x3xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x1xf32>, tensor<3x1xbf16>)
         outs(%init : tensor<?x3xf32>) -> tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

func.func @narrow(%x: tensor<?x36xf32>) -> tensor<?x23xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x36xf32>
  %w = moe.load_parameter @narrow.weight : tensor<23x36xbf16>
  %init = tensor.empty(%n) : tensor<?x23xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x36xf32>, tensor<23x36xbf16>)
         outs(%init : tensor<?x23xf32>) -> tensor<?x23xf32>
  return %y : tensor<?x23xf32>
}

func.func @wide(%x: tensor<?x232xf32>) -> tensor<?x704xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x232xf32>
  %w = moe.load_parameter @wide.weight : tensor<704x232xbf16>
  %init = tensor.empty(%n) : tensor<?x704xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x232xf32>, tensor<704x232xbf16>)
         outs(%init : tensor<?x704xf32>) -> tensor<?x704xf32>
  return %y : tensor<?x704xf32>
}

func.func @of_argument(%x: tensor<?x36xf32>, %w: tensor<23x36xf32>) -> tensor<?x23xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x36xf32>
  %init = tensor.empty(%n) : tensor<?x23xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x36xf32>, tensor<23x36xf32>)
         outs(%init : tensor<?x23xf32>) -> tensor<?x23xf32>
  return %y : tensor<?x23xf32>
}
