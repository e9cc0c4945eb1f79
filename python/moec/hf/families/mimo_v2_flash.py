# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MiMo-V2-Flash."""

import dataclasses

from moec.hf.config import Config
from moec.hf.names import LAYER
from moec.hf.readers import (
    decoder,
    read_biases,
    read_correcting_router,
    read_networks,
    read_rope_layers,
    read_sparse,
)
from moec.hf.spec import Layer, Spec


def spec(config: Config) -> Spec:
    config.ignore("n_shared_experts")  # this family has none
    attentions = read_rope_layers(
        config,
        {"full_attention": {"rope_theta": 5e6}, "sliding_attention": {"rope_theta": 1e4}},
        0.334,
        config.integer("head_dim", 192),
        128,
        lambda depth: depth and (depth + 1) % 6,
        biases=read_biases(config, "qkv"),
        v_dim=config.integer("v_head_dim", 128),
        v_scale=1.0 if config.is_null("attention_value_scale") else config.number("attention_value_scale", 0.707),
    )
    attentions = [dataclasses.replace(a, kv_heads=2 * a.kv_heads, sinks=True) if a.window else a for a in attentions]
    sparse = read_sparse(config, read_correcting_router(config), experts=["n_routed_experts"])
    layers = map(Layer, attentions, read_networks(config, sparse, 1))
    names = {"sinks": LAYER + "self_attn.attention_sink_bias"}
    return decoder(config, layers, names=names, eps=1e-5, unused=r"model\.mtp\..*")
