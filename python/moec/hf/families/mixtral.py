# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Mixtral (arXiv:2401.04088)."""

from moec.hf.config import Config
from moec.hf.names import LAYER, block_names
from moec.hf.readers import decoder, depths, read_attention, read_sparse
from moec.hf.spec import Layer, Router, Spec


def spec(config: Config) -> Spec:
    config.ignore("router_jitter_noise")  # only in training
    window = config.integer("sliding_window", None)
    attention = read_attention(config, 1e6, config.integer("head_dim", None), window=window)
    ffn = read_sparse(config, Router(norm=True), "intermediate_size")
    block = LAYER + "block_sparse_moe"
    names = block_names(block, gate="w1", up="w3", down="w2")
    return decoder(config, [Layer(attention, ffn) for _ in depths(config)], eps=1e-5, names=names, block=block)
