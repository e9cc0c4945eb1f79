# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MiniMax-M2."""

from moec.hf.config import Config
from moec.hf.names import LAYER, block_names
from moec.hf.readers import decoder, depths, read_attention, read_sparse
from moec.hf.spec import Layer, Router, Spec


def spec(config: Config) -> Spec:
    config.ignore("router_jitter_noise")  # only in training
    head_dim = config.integer("head_dim", 128)
    partial = config.integer("rotary_dim", head_dim) / head_dim
    attention = read_attention(config, 5e6, head_dim, partial, qk_norm="projection")
    ffn = read_sparse(config, Router("sigmoid", correction=True, norm=True), "intermediate_size")
    block = LAYER + "block_sparse_moe"
    names = block_names(block, "w1", "w3", "w2") | {"correction": block + ".e_score_correction_bias"}
    return decoder(config, [Layer(attention, ffn) for _ in depths(config)], names=names, block=block)
