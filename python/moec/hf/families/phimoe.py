# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Phi-3.5-MoE (arXiv:2404.14219).

The class of transformers never uses the frequencies of texts over the original length, ``long_factor``, though it does
use their ``long_mscale``. Packages are for texts up to that length, where there is no difference.
"""

from moec.hf.config import Config
from moec.hf.names import LAYER, block_names
from moec.hf.readers import decoder, depths, read_attention, read_biases, read_sparse
from moec.hf.spec import Layer, Norm, Router, Spec


def spec(config: Config) -> Spec:
    config.ignore("input_jitter_noise", "original_max_position_embeddings")  # of training; said in rope_parameters
    window, biases = config.integer("sliding_window", None), read_biases(config, "qkvo")
    attention = read_attention(config, 1e6, config.integer("head_dim", None), biases=biases, window=window)
    config.only("num_experts_per_tok", 2)
    router = Router(sparsemixer=2 * config.number("router_jitter_noise", 0.01, zero=True))
    ffn = read_sparse(config, router, "intermediate_size")
    block = LAYER + "block_sparse_moe"
    names = block_names(block, "w1", "w3", "w2")
    norm = Norm(config.number("rms_norm_eps", 1e-5), center=True, bias=True)
    bias = config.flag("lm_head_bias", False)
    layers = [Layer(attention, ffn) for _ in depths(config)]
    return decoder(config, layers, norm, names=names, block=block, head_bias=bias)
