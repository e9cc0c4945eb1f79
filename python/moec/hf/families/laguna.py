# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Laguna."""

import dataclasses

from moec.hf.config import Config
from moec.hf.names import LAYER, block_names
from moec.hf.readers import decoder, read_biases, read_rope_layers, read_sparse, read_types
from moec.hf.spec import Dense, Layer, Router, Shared, Spec


def spec(config: Config) -> Spec:
    config.only("moe_apply_router_weight_on_input", False)
    per_head = config.choice("gating", True, "per-head", "per-element") != "per-element"
    thetas, partial = (
        {"full_attention": 5e5, "sliding_attention": 1e4},
        {"full_attention": 0.5, "sliding_attention": 1.0},
    )
    biases, head_dim = read_biases(config, "qkvo"), config.integer("head_dim", 128)
    switches = {"biases": biases, "qk_norm": "head", "gate": "softplus", "gate_per_head": per_head}
    attentions = read_rope_layers(config, thetas, partial, head_dim, 512, **switches)
    heads = config.integers("num_attention_heads_per_layer") or [a.heads for a in attentions]
    if len(heads) != len(attentions) or any(count == 0 or count % attentions[0].kv_heads for count in heads):
        config.refuse("num_attention_heads_per_layer", f"{len(attentions)} multiples of {attentions[0].kv_heads}")
    attentions = [dataclasses.replace(a, heads=count) for a, count in zip(attentions, heads)]
    softcap = config.number("moe_router_logit_softcapping", 0, zero=True)
    scale = config.number("moe_routed_scaling_factor", 1.0)
    router = Router("sigmoid", softcap=softcap or None, correction=True, norm=True, scale=scale)
    shared = Shared(Dense(config.integer("shared_expert_intermediate_size", 512)))
    networks = {
        "dense": Dense(config.integer("intermediate_size")),
        "sparse": read_sparse(config, router, shared=shared),
    }
    types = read_types(config, "mlp_layer_types", lambda depth: "sparse" if depth else "dense")
    layers = [Layer(a, networks[type]) for a, type in zip(attentions, types)]
    names = block_names(shared="shared_expert") | {
        "attn_gate": LAYER + "self_attn.g_proj.weight",
        "correction": LAYER + "mlp.experts.e_score_correction_bias",
    }
    return decoder(config, layers, names=names)
