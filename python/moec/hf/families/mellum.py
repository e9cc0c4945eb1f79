# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Mellum 2."""

from moec.hf.config import Config
from moec.hf.readers import decoder, read_biases, read_rope_layers, read_sparse, read_types
from moec.hf.spec import Dense, Layer, Router, Spec


def spec(config: Config) -> Spec:
    thetas = {"full_attention": 5e5, "sliding_attention": 1e4}
    biases, head_dim = read_biases(config, "qkvo"), config.integer("head_dim", 128)
    attentions = read_rope_layers(config, thetas, None, head_dim, 1024, biases=biases, qk_norm="head")
    networks = {
        "dense": Dense(config.integer("intermediate_size")),
        "sparse": read_sparse(config, Router(norm=config.flag("norm_topk_prob", True))),
    }
    types = read_types(config, "mlp_layer_types", lambda depth: "sparse")
    return decoder(config, [Layer(a, networks[type]) for a, type in zip(attentions, types)])
