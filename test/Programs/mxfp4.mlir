// Products with weights of 4 bits, whole and every second row of each expert's.

!rows = tensor<?x96xf32>
!narrow = tensor<?x23xf32>
!wide = tensor<?x46xf32>
!offsets = tensor<6xi32>

moe.parameter @blocks : tensor<5x46x3x16xi8> from "experts.{0}.gate_up_blocks"
moe.parameter @scales : tensor<5x46x3xi8> from "experts.{0}.gate_up_scales"
moe.parameter @gate_up : tensor<5x46x96xbf16> mxfp4 of [@blocks, @scales]
moe.parameter @gate : tensor<5x23x96xbf16> view of @gate_up by affine_map<(e, i, h) -> (e, 2 * i, h)>

func.func @whole(%x: !rows, %offsets: !offsets) -> !wide {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !rows
  %w = moe.load_parameter @gate_up : tensor<5x46x96xbf16>
  %init = tensor.empty(%n) : !wide
  %y = moe.grouped_matmul ins(%x, %w : !rows, tensor<5x46x96xbf16>) offsets(%offsets : !offsets)
         outs(%init : !wide) -> !wide
  return %y : !wide
}

func.func @part(%x: !rows, %offsets: !offsets) -> !narrow {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !rows
  %w = moe.load_parameter @gate : tensor<5x23x96xbf16>
  %init = tensor.empty(%n) : !narrow
  %y = moe.grouped_matmul ins(%x, %w : !rows, tensor<5x23x96xbf16>) offsets(%offsets : !offsets)
         outs(%init : !narrow) -> !narrow
  return %y : !narrow
}
