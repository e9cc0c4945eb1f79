// Products with parts of fused weights: rows, columns that are interleaved, halves of every expert.

!rows = tensor<?x36xf32>
!narrow = tensor<?x23xf32>
!offsets = tensor<6xi32>

moe.parameter @qkv : tensor<3x69x36xbf16> from "layers.{0}.qkv"
moe.parameter @k : tensor<3x23x36xbf16> view of @qkv by affine_map<(l, o, i) -> (l, o + 23, i)>

moe.parameter @gate_up : tensor<5x36x46xbf16> from "experts.{0}.gate_up"
moe.parameter @gate : tensor<5x23x36xbf16> view of @gate_up by affine_map<(e, i, h) -> (e, h, 2 * i)>
moe.parameter @up : tensor<5x23x36xbf16> view of @gate_up by affine_map<(e, i, h) -> (e, h, 2 * i + 1)>

// Experts side by side; then transposed.
moe.parameter @flat : tensor<115x36xbf16> from "flat"
moe.parameter @stacked : tensor<5x23x36xbf16> view of @flat by affine_map<(e, i, h) -> (23 * e + i, h)>
moe.parameter @down : tensor<5x36x23xbf16> view of @stacked by affine_map<(e, h, i) -> (e, i, h)>

func.func @keys(%x: !rows, %l: tensor<1xi32>) -> !narrow {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !rows
  %number = tensor.extract %l[%c0] : tensor<1xi32>
  %layer = arith.index_cast %number : i32 to index
  %w = moe.load_parameter @k[%layer] : tensor<23x36xbf16>
  %init = tensor.empty(%n) : !narrow
  %y = moe.grouped_matmul ins(%x, %w : !rows, tensor<23x36xbf16>) outs(%init : !narrow) -> !narrow
  return %y : !narrow
}

func.func @experts(%x: !rows, %offsets: !offsets) -> !rows {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !rows
  %hidden = tensor.empty(%n) : !narrow
  %gate = moe.load_parameter @gate : tensor<5x23x36xbf16>
  %up = moe.load_parameter @up : tensor<5x23x36xbf16>
  %down = moe.load_parameter @down : tensor<5x36x23xbf16>
  %g = moe.grouped_matmul ins(%x, %gate : !rows, tensor<5x23x36xbf16>) offsets(%offsets : !offsets)
         outs(%hidden : !narrow) -> !narrow
  %u = moe.grouped_matmul ins(%x, %up : !rows, tensor<5x23x36xbf16>) offsets(%offsets : !offsets)
         outs(%hidden : !narrow) -> !narrow
  %h = moe.glu swiglu %g, %u : !narrow
  %init = tensor.empty(%n) : !rows
  %y = moe.grouped_matmul ins(%h, %down : !narrow, tensor<5x36x23xbf16>) offsets(%offsets : !offsets)
         outs(%init : !rows) -> !rows
  return %y : !rows
}
