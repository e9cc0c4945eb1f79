// Products with weights of 8 bits and a scale for each block of 128 by 128, the last ones of which are smaller: one stack
// of matrices, and a part of another.

!rows = tensor<?x200xf32>
!out = tensor<?x150xf32>
!part = tensor<?x75xf32>
!offsets = tensor<4xi32>

moe.parameter @elements : tensor<3x150x200xf8E4M3FN> from "experts.{0}.weight"
moe.parameter @scales : tensor<3x2x2xf32> from "experts.{0}.weight_scale_inv"
moe.parameter @w : tensor<3x150x200xbf16> fp8 of [@elements, @scales]
moe.parameter @fused_elements : tensor<3x150x200xf8E4M3FN> from "fused"
moe.parameter @fused_scales : tensor<3x2x2xf32> from "fused_scale_inv"
moe.parameter @fused : tensor<3x150x200xbf16> fp8 of [@fused_elements, @fused_scales]
moe.parameter @odd.weight : tensor<3x75x200xbf16> view of @fused by affine_map<(e, i, h) -> (e, 2 * i + 1, h)>

func.func @stack(%x: !rows, %offsets: !offsets) -> !out {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !rows
  %w = moe.load_parameter @w : tensor<3x150x200xbf16>
  %init = tensor.empty(%n) : !out
  %y = moe.grouped_matmul ins(%x, %w : !rows, tensor<3x150x200xbf16>) offsets(%offsets : !offsets)
         outs(%init : !out) -> !out
  return %y : !out
}

func.func @odd(%x: !rows, %offsets: !offsets) -> !part {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !rows
  %w = moe.load_parameter @odd.weight : tensor<3x75x200xbf16>
  %init = tensor.empty(%n) : !part
  %y = moe.grouped_matmul ins(%x, %w : !rows, tensor<3x75x200xbf16>) offsets(%offsets : !offsets)
         outs(%init : !part) -> !part
  return %y : !part
}
