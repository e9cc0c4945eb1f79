# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ERNIE 4.5 with experts."""

from moec.hf.config import Config
from moec.hf.names import LAYER
from moec.hf.readers import decoder, depths, read_attention, read_biases, read_sparse
from moec.hf.spec import Dense, Layer, Router, Shared, Spec


def spec(config: Config) -> Spec:
    biases = read_biases(config, "qkvo", "use_bias")
    attention = read_attention(config, 5e5, config.integer("head_dim", None), interleaved=True, biases=biases)
    width, count = config.integer("moe_intermediate_size"), config.integer("moe_num_shared_experts", 2, minimum=0)
    shared = Shared(Dense(width * count, bias=bool(biases))) if count else None
    router = Router(correction=True, correction_row=True, norm=True, at_least=config.number("moe_norm_min", 1e-12))
    sparse = read_sparse(config, router, experts=["moe_num_experts"], top_k="moe_k", shared=shared)
    dense = Dense(config.integer("intermediate_size"), bias=bool(biases))
    first, step = config.integer("moe_layer_start_index", 1, minimum=0), config.integer("moe_layer_interval", 1)
    last = config.integer("moe_layer_end_index", -1, minimum=-1) % len(depths(config))
    has_experts = [first <= depth <= last and (depth + 1) % step == 0 for depth in depths(config)]
    layers = [Layer(attention, sparse if sparsely else dense) for sparsely in has_experts]
    names = {"correction": LAYER + "mlp.moe_statics.e_score_correction_bias"}
    return decoder(config, layers, names=names, eps=1e-5, tied=True, head_bias=bool(biases))
