// RUN: moe-opt %s -split-input-file -verify-diagnostics

// One case for each label of a constraint on parameters in MoEOps.td, named after it.

// expected-error @below {{'moe.parameter' op expected one of `from`, `view of`, `mxfp4 of`, `fp8 of` and `pack of`, got 0}}
moe.parameter @parameter_c1 : tensor<4x4xf32>

// -----

moe.parameter @w : tensor<4x4xf32> from "w"
// expected-error @below {{'moe.parameter' op expected one of `from`, `view of`, `mxfp4 of`, `fp8 of` and `pack of`, got 2}}
moe.parameter @parameter_c1_two : tensor<4x4xf32> from "w" view of @w by affine_map<(i, j) -> (j, i)>

// -----

// expected-error @below {{'moe.parameter' op expected a static shape, got 'tensor<?x4xf32>'}}
moe.parameter @parameter_c2 : tensor<?x4xf32> from "w"

// -----

// expected-error @below {{'moe.parameter' op expected each of the placeholders {0}, {1}, ... once and at most as many as extents, got "layers.{1}.w"}}
moe.parameter @parameter_c3 : tensor<2x4x4xf32> from "layers.{1}.w"

// -----

// expected-error @below {{'moe.parameter' op expected 1 lists of indices, got 2}}
moe.parameter @parameter_c4 : tensor<2x4x4xf32> from "layers.{0}.w" at [[0, 3], [0, 1]]

// -----

// expected-error @below {{'moe.parameter' op expected a list of 2 integers for {0}, got [0, 3, 5]}}
moe.parameter @parameter_c4_length : tensor<2x4x4xf32> from "layers.{0}.w" at [[0, 3, 5]]

// -----

// expected-error @below {{'moe.parameter' op expected one or two sources, got 0}}
moe.parameter @parameter_c5 : tensor<1x4x32xf32> pack of []

// -----

// expected-error @below {{'moe.parameter' op expected a parameter, got @missing}}
moe.parameter @parameter_c5_missing : tensor<1x4x32xf32> pack of [@missing]

// -----

moe.parameter @gate : tensor<4x4xf32> from "gate"
moe.parameter @up : tensor<4x8xf32> from "up"
// expected-error @below {{'moe.parameter' op expected sources of one type, got 'tensor<4x4xf32>' and 'tensor<4x8xf32>'}}
moe.parameter @parameter_c5_types : tensor<1x4x32xf32> pack of [@gate, @up]

// -----

moe.parameter @vector : tensor<4xf32> from "vector"
// expected-error @below {{'moe.parameter' op expected a matrix of floats to pack, got 'tensor<4xf32>'}}
moe.parameter @parameter_c5_matrix : tensor<1x4x32xf32> pack of [@vector]

// -----

moe.parameter @matrix : tensor<33x4xf32> from "matrix"
// expected-error @below {{'moe.parameter' op expected the packed type 'tensor<2x4x32xf32>', got 'tensor<1x4x32xf32>'}}
moe.parameter @parameter_c5_packed : tensor<1x4x32xf32> pack of [@matrix]

// -----

moe.parameter @matrix : tensor<33x4xf32> from "matrix"
// expected-error @below {{'moe.parameter' op expected a format of bytes to pack in 'i8', got none}}
moe.parameter @parameter_c5_no_format : tensor<2x1088xi8> pack of [@matrix]

// -----

moe.parameter @matrix : tensor<33x4xf32> from "matrix"
// expected-error @below {{'moe.parameter' op expected a format of bytes to pack in 'f32', got f32}}
moe.parameter @parameter_c5_float_format : tensor<2x4x32xf32> pack f32 of [@matrix]

// -----

moe.parameter @matrix : tensor<33x4xf32> from "matrix"
// expected-error @below {{'moe.parameter' op expected the packed type 'tensor<2x576xi8>', got 'tensor<2x1088xi8>'}}
moe.parameter @parameter_c5_bytes : tensor<2x1088xi8> pack q4_0 of [@matrix]

// -----

moe.parameter @bytes : tensor<4x4xi8> from "bytes"
// expected-error @below {{'moe.parameter' op expected a matrix of floats to pack, got 'tensor<4x4xi8>'}}
moe.parameter @parameter_c5_floats : tensor<1x4x32xi8> pack of [@bytes]

// -----

moe.parameter @matrix : tensor<1x4xf32> from "matrix"
moe.parameter @panel : tensor<1x4x32xf32> pack of [@matrix]
// expected-error @below {{'moe.parameter' op expected a source that is not packed, got @panel}}
moe.parameter @parameter_c5_twice : tensor<1x1x32x32xf32> pack of [@panel]

// -----

// expected-error @below {{'moe.parameter' op expected a parameter, got @missing}}
moe.parameter @parameter_c6 : tensor<4xf32> view of @missing by affine_map<(i) -> (i)>

// -----

// expected-error @below {{'moe.parameter' op expected a source that stands before, got @parameter_c6_order}}
moe.parameter @parameter_c6_order : tensor<4xf32> view of @parameter_c6_order by affine_map<(i) -> (i)>

// -----

moe.parameter @matrix : tensor<1x4xf32> from "matrix"
moe.parameter @panel : tensor<1x4x32xf32> pack of [@matrix]
// expected-error @below {{'moe.parameter' op expected a source that is not packed, got @panel}}
moe.parameter @parameter_c6_packed : tensor<4xf32> view of @panel by affine_map<(i) -> (0, i, 0)>

// -----

moe.parameter @w : tensor<4xbf16> from "w"
// expected-error @below {{'moe.parameter' op expected elements of 'bf16', got 'f32'}}
moe.parameter @parameter_c6_type : tensor<4xf32> view of @w by affine_map<(i) -> (i)>

// -----

moe.parameter @w : tensor<4x8xf32> from "w"
// expected-error @below {{'moe.parameter' op expected a map from 1 dimensions to 2, got affine_map<(d0) -> (d0)>}}
moe.parameter @parameter_c7 : tensor<4xf32> view of @w by affine_map<(i) -> (i)>

// -----

moe.parameter @w : tensor<4xf32> from "w"
// expected-error @below {{'moe.parameter' op expected a map from 1 dimensions to 1, got affine_map<(d0)[s0] -> (d0 + s0)>}}
moe.parameter @parameter_c7_symbol : tensor<4xf32> view of @w by affine_map<(i)[s] -> (i + s)>

// -----

moe.parameter @w : tensor<4xf32> from "w"
// expected-error @below {{'moe.parameter' op expected positive divisors, got affine_map<(d0) -> (d0 floordiv -2)>}}
moe.parameter @parameter_c7_divisor : tensor<4xf32> view of @w by affine_map<(i) -> (i floordiv -2)>

// -----

moe.parameter @w : tensor<4x8xf32> from "w"
// expected-error @below {{'moe.parameter' op expected indices from 0 to 7 for extent 1 of @w, got 2 to 8}}
moe.parameter @parameter_c8 : tensor<4x4xf32> view of @w by affine_map<(h, i) -> (i, 2 * h + 2)>

// -----

moe.parameter @w : tensor<4xf32> from "w"
// expected-error @below {{'moe.parameter' op expected indices from 0 to 3 for extent 0 of @w, got -1 to 2}}
moe.parameter @parameter_c8_negative : tensor<4xf32> view of @w by affine_map<(i) -> (-i + 2)>

// -----

moe.parameter @w : tensor<4xf32> from "w"
// expected-error @below {{'moe.parameter' op expected indices from 0 to 3 for extent 0 of @w, got 0 to 5}}
moe.parameter @parameter_c8_division : tensor<9xf32> view of @w by affine_map<(i) -> (i floordiv 3 + i mod 4)>

// -----

moe.parameter @blocks : tensor<4x2x16xi8> from "blocks"
// expected-error @below {{'moe.parameter' op expected blocks and scales, got 1 sources}}
moe.parameter @parameter_c9 : tensor<4x64xbf16> mxfp4 of [@blocks]

// -----

moe.parameter @blocks : tensor<4x2x16xi8> from "blocks"
// expected-error @below {{'moe.parameter' op expected a parameter, got @missing}}
moe.parameter @parameter_c9_missing : tensor<4x64xbf16> mxfp4 of [@blocks, @missing]

// -----

moe.parameter @blocks : tensor<4x2x16xi8> from "blocks"
moe.parameter @scales : tensor<4x2xf32> from "scales"
// expected-error @below {{'moe.parameter' op expected a tensor of 'i8' of the checkpoint, got @scales}}
moe.parameter @parameter_c9_element : tensor<4x64xbf16> mxfp4 of [@blocks, @scales]

// -----

moe.parameter @blocks : tensor<4x2x16xi8> from "blocks"
moe.parameter @part : tensor<4x2xi8> view of @blocks by affine_map<(i, g) -> (i, g, 0)>
// expected-error @below {{'moe.parameter' op expected a tensor of 'i8' of the checkpoint, got @part}}
moe.parameter @parameter_c9_view : tensor<4x64xbf16> mxfp4 of [@blocks, @part]

// -----

moe.parameter @blocks : tensor<4x2x16xi8> from "blocks.{0}"
moe.parameter @scales : tensor<4x2xi8> from "scales"
// expected-error @below {{'moe.parameter' op expected as many placeholders in "scales" as in "blocks.{0}"}}
moe.parameter @parameter_c9_stack : tensor<4x64xbf16> mxfp4 of [@blocks, @scales]

// -----

moe.parameter @blocks : tensor<4x2x8xi8> from "blocks"
moe.parameter @scales : tensor<4x2xi8> from "scales"
// expected-error @below {{'moe.parameter' op expected blocks of 16 bytes for each scale, got 'tensor<4x2x8xi8>' and 'tensor<4x2xi8>'}}
moe.parameter @parameter_c9_blocks : tensor<4x64xbf16> mxfp4 of [@blocks, @scales]

// -----

moe.parameter @blocks : tensor<4x2x16xi8> from "blocks"
moe.parameter @scales : tensor<4x2xi8> from "scales"
// expected-error @below {{'moe.parameter' op expected the type 'tensor<4x64xbf16>', got 'tensor<4x64xf32>'}}
moe.parameter @parameter_c9_type : tensor<4x64xf32> mxfp4 of [@blocks, @scales]

// -----

moe.parameter @elements : tensor<200x130xf8E4M3FN> from "w"
// expected-error @below {{'moe.parameter' op expected elements and scales, got 1 sources}}
moe.parameter @parameter_c10 : tensor<200x130xbf16> fp8 of [@elements]

// -----

moe.parameter @elements : tensor<200x130xi8> from "w"
moe.parameter @scales : tensor<2x2xf32> from "w.scales"
// expected-error @below {{'moe.parameter' op expected a tensor of 'f8E4M3FN' of the checkpoint, got @elements}}
moe.parameter @parameter_c10_elements : tensor<200x130xbf16> fp8 of [@elements, @scales]

// -----

moe.parameter @elements : tensor<200x130xf8E4M3FN> from "w"
moe.parameter @scales : tensor<2x2xbf16> from "w.scales"
// expected-error @below {{'moe.parameter' op expected a tensor of 'f32' of the checkpoint, got @scales}}
moe.parameter @parameter_c10_scales : tensor<200x130xbf16> fp8 of [@elements, @scales]

// -----

moe.parameter @elements : tensor<3x200x130xf8E4M3FN> from "w.{0}"
moe.parameter @scales : tensor<3x2x2xf32> from "w.scales"
// expected-error @below {{'moe.parameter' op expected as many placeholders in "w.scales" as in "w.{0}"}}
moe.parameter @parameter_c10_stack : tensor<3x200x130xbf16> fp8 of [@elements, @scales]

// -----

moe.parameter @elements : tensor<200xf8E4M3FN> from "w"
moe.parameter @scales : tensor<2xf32> from "w.scales"
// expected-error @below {{'moe.parameter' op expected matrices, got 'tensor<200xf8E4M3FN>'}}
moe.parameter @parameter_c10_matrix : tensor<200xbf16> fp8 of [@elements, @scales]

// -----

moe.parameter @elements : tensor<3x200x130xf8E4M3FN> from "w"
moe.parameter @scales : tensor<3x2x1xf32> from "w.scales"
// expected-error @below {{'moe.parameter' op expected scales of the type 'tensor<3x2x2xf32>', got 'tensor<3x2x1xf32>'}}
moe.parameter @parameter_c10_blocks : tensor<3x200x130xbf16> fp8 of [@elements, @scales]

// -----

moe.parameter @elements : tensor<200x130xf8E4M3FN> from "w"
moe.parameter @scales : tensor<2x2xf32> from "w.scales"
// expected-error @below {{'moe.parameter' op expected the type 'tensor<200x130xbf16>', or of f32, got 'tensor<200x130xf16>'}}
moe.parameter @parameter_c10_type : tensor<200x130xf16> fp8 of [@elements, @scales]

// -----

moe.parameter @elements : tensor<33x4xf8E4M3FN> from "w"
// expected-error @below {{'moe.parameter' op expected a matrix of floats to pack, got 'tensor<33x4xf8E4M3FN>'}}
moe.parameter @parameter_c5_fp8 : tensor<2x4x32xf32> pack of [@elements]

// -----

func.func @load_parameter_c1() {
  // expected-error @below {{'moe.load_parameter' op expected a parameter, got @missing}}
  %w = moe.load_parameter @missing : tensor<4x4xf32>
  return
}

// -----

moe.parameter @w : tensor<2x4x4xf32> from "layers.{0}.w"

func.func @load_parameter_c1_slice(%l: index) {
  // expected-error @below {{'moe.load_parameter' op expected a slice of 'tensor<2x4x4xf32>' after 1 indices, got 'tensor<2x4x4xf32>'}}
  %w = moe.load_parameter @w[%l] : tensor<2x4x4xf32>
  return
}
