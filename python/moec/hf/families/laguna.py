# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Laguna."""

import dataclasses

from moec.hf.config import Config
from moec.hf.names import LAYER, block_names
from moec.hf.readers import decoder, read_biases, read_networks, read_rope_layers, read_sparse
from moec.hf.spec import Dense, Layer, Router, Shared, Spec


def spec(config: Config) -> Spec:
    config.only("moe_apply_router_weight_on_input", False)
    per_head = config.choice("gating", True, "per-head", "per-element") != "per-element"
    ropes = {
        "full_attention": {"rope_theta": 5e5, "partial_rotary_factor": 0.5},
        "sliding_attention": {"rope_theta": 1e4},
    }
    biases, head_dim = read_biases(config, "qkvo"), config.integer("head_dim", 128)
    switches = {"biases": biases, "qk_norm": "head", "gate": "softplus", "gate_per_head": per_head}
    attentions = read_rope_layers(config, ropes, 1.0, head_dim, 512, **switches)
    heads = config.integers("num_attention_heads_per_layer") or [a.heads for a in attentions]
    if len(heads) != len(attentions) or any(count == 0 or count % attentions[0].kv_heads for count in heads):
        config.refuse("num_attention_heads_per_layer", f"{len(attentions)} multiples of {attentions[0].kv_heads}")
    attentions = [dataclasses.replace(a, heads=count) for a, count in zip(attentions, heads)]
    softcap = config.number("moe_router_logit_softcapping", 0, zero=True)
    scale = config.number("moe_routed_scaling_factor", 1.0)
    router = Router("sigmoid", softcap=softcap or None, correction=True, norm=True, scale=scale)
    shared = Shared(Dense(config.integer("shared_expert_intermediate_size", 512)))
    sparse = read_sparse(config, router, shared=shared)
    layers = map(Layer, attentions, read_networks(config, sparse, 1))
    names = block_names(shared="shared_expert") | {
        "attn_gate": LAYER + "self_attn.g_proj.weight",
        "correction": LAYER + "mlp.experts.e_score_correction_bias",
    }
    return decoder(config, layers, names=names)
