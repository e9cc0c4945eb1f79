# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Hunyuan 3."""

from moec.hf.config import Config
from moec.hf.names import LAYER, block_names
from moec.hf.readers import (
    decoder,
    following_layers,
    read_attention,
    read_biases,
    read_networks,
    read_shared,
    read_sparse,
)
from moec.hf.spec import Layer, Router, Spec


def spec(config: Config) -> Spec:
    config.ignore("enable_moe_fp32_combine")  # sums are in f32 either way
    biases = read_biases(config, "qkvo")
    attention = read_attention(config, 11158840.0, config.integer("head_dim", 128), biases=biases, qk_norm="head")
    bias, scale = config.flag("mlp_bias", False), config.number("router_scaling_factor", 2.826)
    router = Router("sigmoid", correction=True, norm=True, plus=1e-20, scale=scale)
    shared = read_shared(config, "num_shared_experts", 1, bias)
    sparse = read_sparse(config, router, shared=shared)
    layers = [Layer(attention, ffn) for ffn in read_networks(config, sparse, 1, bias)]
    names = block_names(shared="shared_mlp") | {
        "router": LAYER + "mlp.router.gate.weight",
        "correction": LAYER + "mlp.expert_bias",
    }
    return decoder(config, layers, names=names, eps=1e-5, unused=following_layers(config))
