# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""AFMoE: Trinity."""

from moec.hf.config import Config
from moec.hf.names import LAYER
from moec.hf.readers import (
    decoder,
    read_attention,
    read_biases,
    read_first_dense,
    read_shared,
    read_sparse,
    read_windows,
)
from moec.hf.spec import POST, PRE, Layer, Router, Spec


def spec(config: Config) -> Spec:
    biases, head_dim = read_biases(config, "qkvo"), config.integer("head_dim", 128)
    full = read_attention(config, 1e4, head_dim, biases=biases, qk_norm="head", gate="sigmoid")
    period = config.integer("global_attn_every_n_layers", 4)
    attentions = read_windows(config, full, lambda depth: (depth + 1) % period != 0, 1024, full_rope=False)
    scale = config.number("route_scale", 1.0)
    router = Router("sigmoid", correction=True, norm=True, plus=1e-20, scale=scale)
    sparse = read_sparse(config, router, shared=read_shared(config, "num_shared_experts", 2))
    networks = read_first_dense(config, sparse, 1, "num_dense_layers")
    names = {
        "attn_post_norm": LAYER + "post_attention_layernorm.weight",
        "ffn_norm": LAYER + "pre_mlp_layernorm.weight",
        "ffn_post_norm": LAYER + "post_mlp_layernorm.weight",
        "router": LAYER + "mlp.router.gate.weight",
        "correction": LAYER + "mlp.expert_bias",
    }
    scale = config.integer("hidden_size") ** 0.5 if config.flag("mup_enabled", False) else 1.0
    layers = [Layer(a, ffn, PRE + POST) for a, ffn in zip(attentions, networks)]
    return decoder(config, layers, names=names, eps=1e-5, embedding_scale=scale)
