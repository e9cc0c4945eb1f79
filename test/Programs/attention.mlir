// Ragged sequences over a cache: written, read back, and attended to.

!ids = tensor<?xi32>
!cache = memref<2x?x3x?x5xf32>

moe.parameter @sink : tensor<6xbf16> from "sink"

func.func @write(%k: tensor<?x3x5xf32> {moe.dims = ["N", 3, 5]}, %v: tensor<?x3x5xf32> {moe.dims = ["N", 3, 5]},
                 %cu: !ids {moe.dims = ["B+1"]}, %past: !ids {moe.dims = ["B"]}, %slot: !ids {moe.dims = ["B"]},
                 %k_cache: !cache {moe.name = "k_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state},
                 %v_cache: !cache {moe.name = "v_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state}) {
  %layer = arith.constant 1 : index
  moe.cache_update %k, %cu, %past, %slot into %k_cache[%layer] : tensor<?x3x5xf32>, !ids, !ids, !ids, !cache
  moe.cache_update %v, %cu, %past, %slot into %v_cache[%layer] : tensor<?x3x5xf32>, !ids, !ids, !ids, !cache
  return
}

func.func @read(%k_cache: !cache {moe.name = "k_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state},
                %v_cache: !cache {moe.name = "v_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state})
    -> (tensor<2x?x3x?x5xf32> {moe.dims = [2, "slots", 3, "max_len", 5]},
        tensor<2x?x3x?x5xf32> {moe.dims = [2, "slots", 3, "max_len", 5]}) {
  %k = bufferization.to_tensor %k_cache restrict : !cache to tensor<2x?x3x?x5xf32>
  %v = bufferization.to_tensor %v_cache restrict : !cache to tensor<2x?x3x?x5xf32>
  return %k, %v : tensor<2x?x3x?x5xf32>, tensor<2x?x3x?x5xf32>
}

func.func @grouped(%q: tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]},
                   %cu: !ids {moe.dims = ["B+1"]}, %past: !ids {moe.dims = ["B"]}, %slot: !ids {moe.dims = ["B"]},
                   %k_cache: !cache {moe.name = "k_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state},
                   %v_cache: !cache {moe.name = "v_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state})
    -> (tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]}) {
  %c0 = arith.constant 0 : index
  %layer = arith.constant 1 : index
  %n = tensor.dim %q, %c0 : tensor<?x6x5xf32>
  %init = tensor.empty(%n) : tensor<?x6x5xf32>
  %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x6x5xf32>, !ids, !ids, !ids)
         cache(%k_cache, %v_cache at %layer : !cache) outs(%init : tensor<?x6x5xf32>)
         {scale = 0.45 : f32} -> tensor<?x6x5xf32>
  return %o : tensor<?x6x5xf32>
}

func.func @window(%q: tensor<?x3x5xf32> {moe.dims = ["N", 3, 5]},
                  %cu: !ids {moe.dims = ["B+1"]}, %past: !ids {moe.dims = ["B"]}, %slot: !ids {moe.dims = ["B"]},
                  %k_cache: !cache {moe.name = "k_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state},
                  %v_cache: !cache {moe.name = "v_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state})
    -> (tensor<?x3x5xf32> {moe.dims = ["N", 3, 5]}) {
  %c0 = arith.constant 0 : index
  %layer = arith.constant 1 : index
  %n = tensor.dim %q, %c0 : tensor<?x3x5xf32>
  %init = tensor.empty(%n) : tensor<?x3x5xf32>
  %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x3x5xf32>, !ids, !ids, !ids)
         cache(%k_cache, %v_cache at %layer : !cache) outs(%init : tensor<?x3x5xf32>)
         {scale = 0.45 : f32, window = 4 : i64} -> tensor<?x3x5xf32>
  return %o : tensor<?x3x5xf32>
}

func.func @chunk(%q: tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]},
                 %cu: !ids {moe.dims = ["B+1"]}, %past: !ids {moe.dims = ["B"]}, %slot: !ids {moe.dims = ["B"]},
                 %k_cache: !cache {moe.name = "k_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state},
                 %v_cache: !cache {moe.name = "v_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state})
    -> (tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]}) {
  %c0 = arith.constant 0 : index
  %layer = arith.constant 1 : index
  %n = tensor.dim %q, %c0 : tensor<?x6x5xf32>
  %init = tensor.empty(%n) : tensor<?x6x5xf32>
  %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x6x5xf32>, !ids, !ids, !ids)
         cache(%k_cache, %v_cache at %layer : !cache) outs(%init : tensor<?x6x5xf32>)
         {scale = 0.45 : f32, chunk = 7 : i64} -> tensor<?x6x5xf32>
  return %o : tensor<?x6x5xf32>
}

func.func @softcap(%q: tensor<?x3x5xf32> {moe.dims = ["N", 3, 5]},
                   %cu: !ids {moe.dims = ["B+1"]}, %past: !ids {moe.dims = ["B"]}, %slot: !ids {moe.dims = ["B"]},
                   %k_cache: !cache {moe.name = "k_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state},
                   %v_cache: !cache {moe.name = "v_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state})
    -> (tensor<?x3x5xf32> {moe.dims = ["N", 3, 5]}) {
  %c0 = arith.constant 0 : index
  %layer = arith.constant 1 : index
  %n = tensor.dim %q, %c0 : tensor<?x3x5xf32>
  %init = tensor.empty(%n) : tensor<?x3x5xf32>
  %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x3x5xf32>, !ids, !ids, !ids)
         cache(%k_cache, %v_cache at %layer : !cache) outs(%init : tensor<?x3x5xf32>)
         {scale = 0.45 : f32, softcap = 3.0 : f32} -> tensor<?x3x5xf32>
  return %o : tensor<?x3x5xf32>
}

func.func @sinks(%q: tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]},
                 %cu: !ids {moe.dims = ["B+1"]}, %past: !ids {moe.dims = ["B"]}, %slot: !ids {moe.dims = ["B"]},
                 %k_cache: !cache {moe.name = "k_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state},
                 %v_cache: !cache {moe.name = "v_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state})
    -> (tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]}) {
  %c0 = arith.constant 0 : index
  %layer = arith.constant 1 : index
  %sink = moe.load_parameter @sink : tensor<6xbf16>
  %n = tensor.dim %q, %c0 : tensor<?x6x5xf32>
  %init = tensor.empty(%n) : tensor<?x6x5xf32>
  %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x6x5xf32>, !ids, !ids, !ids)
         cache(%k_cache, %v_cache at %layer : !cache) sinks(%sink : tensor<6xbf16>) outs(%init : tensor<?x6x5xf32>)
         {scale = 0.45 : f32, window = 40 : i64} -> tensor<?x6x5xf32>
  return %o : tensor<?x6x5xf32>
}

// Keys are values, as in latent attention.
func.func @shared(%q: tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]},
                  %cu: !ids {moe.dims = ["B+1"]}, %past: !ids {moe.dims = ["B"]}, %slot: !ids {moe.dims = ["B"]},
                  %k_cache: !cache {moe.name = "k_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state})
    -> (tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]}) {
  %c0 = arith.constant 0 : index
  %layer = arith.constant 1 : index
  %n = tensor.dim %q, %c0 : tensor<?x6x5xf32>
  %init = tensor.empty(%n) : tensor<?x6x5xf32>
  %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x6x5xf32>, !ids, !ids, !ids)
         cache(%k_cache, %k_cache at %layer : !cache) outs(%init : tensor<?x6x5xf32>)
         {scale = 0.45 : f32} -> tensor<?x6x5xf32>
  return %o : tensor<?x6x5xf32>
}

func.func @biased(%q: tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]},
                  %cu: !ids {moe.dims = ["B+1"]}, %past: !ids {moe.dims = ["B"]}, %slot: !ids {moe.dims = ["B"]},
                  %bias: tensor<6x9xf32> {moe.dims = [6, 9]},
                  %k_cache: !cache {moe.name = "k_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state},
                  %v_cache: !cache {moe.name = "v_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state})
    -> (tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]}) {
  %c0 = arith.constant 0 : index
  %layer = arith.constant 1 : index
  %n = tensor.dim %q, %c0 : tensor<?x6x5xf32>
  %init = tensor.empty(%n) : tensor<?x6x5xf32>
  %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x6x5xf32>, !ids, !ids, !ids)
         cache(%k_cache, %v_cache at %layer : !cache) bias(%bias : tensor<6x9xf32>) outs(%init : tensor<?x6x5xf32>)
         {scale = 0.45 : f32} -> tensor<?x6x5xf32>
  return %o : tensor<?x6x5xf32>
}

// As in an encoder, and from a decoder to it.
func.func @everything(%q: tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]},
                      %cu: !ids {moe.dims = ["B+1"]}, %past: !ids {moe.dims = ["B"]}, %slot: !ids {moe.dims = ["B"]},
                      %lengths: !ids {moe.dims = ["B"]},
                      %k_cache: !cache {moe.name = "k_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state},
                      %v_cache: !cache {moe.name = "v_cache", moe.dims = [2, "slots", 3, "max_len", 5], moe.state})
    -> (tensor<?x6x5xf32> {moe.dims = ["N", 6, 5]}) {
  %c0 = arith.constant 0 : index
  %layer = arith.constant 1 : index
  %n = tensor.dim %q, %c0 : tensor<?x6x5xf32>
  %init = tensor.empty(%n) : tensor<?x6x5xf32>
  %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x6x5xf32>, !ids, !ids, !ids)
         cache(%k_cache, %v_cache at %layer : !cache) lengths(%lengths : !ids) outs(%init : tensor<?x6x5xf32>)
         {scale = 0.45 : f32} -> tensor<?x6x5xf32>
  return %o : tensor<?x6x5xf32>
}
