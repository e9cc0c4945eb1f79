# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Mellum 2."""

from moec.hf.config import Config
from moec.hf.readers import decoder, read_biases, read_networks, read_rope_layers, read_sparse
from moec.hf.spec import Layer, Router, Spec


def spec(config: Config) -> Spec:
    ropes = {"full_attention": {"rope_theta": 5e5}, "sliding_attention": {"rope_theta": 1e4}}
    biases, head_dim = read_biases(config, "qkvo"), config.integer("head_dim", 128)
    attentions = read_rope_layers(config, ropes, None, head_dim, 1024, biases=biases, qk_norm="head")
    sparse = read_sparse(config, Router(norm=config.flag("norm_topk_prob", True)))
    return decoder(config, map(Layer, attentions, read_networks(config, sparse, 0)))
