# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""DBRX.

The base of its rotary embedding is in ``attn_config``, as in the code that it was published with; transformers 5.18
reads it from ``rope_parameters`` alone, so that the published file would get another one there.
"""

import dataclasses

from moec.hf.config import Config
from moec.hf.readers import decoder, depths, read_attention, read_sparse
from moec.hf.spec import Attention, Layer, Norm, Router, Sparse, Spec
from moec.hf.weights import Fused

_OWN = {
    "hidden_size": "d_model",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "max_position_embeddings": "max_seq_len",
}
_BLOCK = "transformer.blocks.{0}."


def spec(config: Config) -> Spec:
    config.rename(_OWN)
    config.ignore("emb_pdrop", "resid_pdrop")  # only in training
    attention, ffn = _attention(config), _ffn(config)
    hidden, width, count = config.integer("hidden_size"), ffn.intermediate, ffn.experts
    q, kv = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
    inner, experts = _BLOCK + "norm_attn_norm.", _BLOCK + "ffn.experts.mlp."
    names = {
        "embed": "transformer.wte.weight",
        "norm": "transformer.norm_f.weight",
        "attn_norm": inner + "norm_1.weight",
        "ffn_norm": inner + "norm_2.weight",
        "o": inner + "attn.out_proj.weight",
        "router": _BLOCK + "ffn.router.layer.weight",
        "gate": Fused(experts + "w1", (count * width, hidden), f"{width} * e + o, i"),
        "up": Fused(experts + "v1", (count * width, hidden), f"{width} * e + o, i"),
        "down": Fused(experts + "w2", (count * width, hidden), f"{width} * e + i, o"),
    }
    for role, begin in {"q": 0, "k": q, "v": q + kv}.items():
        names[role] = Fused(inner + "attn.Wqkv.weight", (q + 2 * kv, hidden), f"o + {begin}, i")
    layers = [Layer(attention, ffn) for _ in depths(config)]
    return decoder(config, layers, Norm(1e-5, center=True), names, _BLOCK + "ffn")


def _attention(config: Config) -> Attention:
    own = config.table("attn_config") or Config("", {})
    theta, kv_heads, clip = own.number("rope_theta", 1e4), own.integer("kv_n_heads", 1), own.number("clip_qkv", None)
    own.ignore("attn_pdrop", "model_type")
    own.finish()
    if rope := config.table("rope_parameters"):
        rope.only("rope_theta", theta)
    config.only("num_key_value_heads", kv_heads)
    if config.integer("num_attention_heads") % kv_heads:
        own.refuse("kv_n_heads", "a divisor of n_heads")
    return dataclasses.replace(read_attention(config, theta, clip=clip), kv_heads=kv_heads)


def _ffn(config: Config) -> Sparse:
    own = config.table("ffn_config") or Config("", {})
    if function := own.table("ffn_act_fn"):
        function.only("name", "silu")
        function.finish()
    norm = not own.is_null("moe_normalize_expert_weights")
    own.only("uniform_expert_assignment", False)
    own.only("moe_normalize_expert_weights", 1.0)  # the exponent of the norm that weights are divided by
    ffn = read_sparse(own, Router(norm=norm), "ffn_hidden_size", ("moe_num_experts",), "moe_top_k")
    own.ignore("hidden_size", "moe_jitter_eps", "moe_loss_weight", "model_type")
    own.finish()
    return ffn
