# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Gemma 4 with experts, the part for text."""

from moec.hf.config import Config
from moec.hf.names import LAYER, halves
from moec.hf.readers import decoder, read_biases, read_heads, read_sparse, read_types
from moec.hf.rope import read_ropes
from moec.hf.spec import POST, PRE, Attention, Dense, Glu, Layer, Router, Shared, Spec

_TYPES = ("sliding_attention", "full_attention")
_ROPES = {
    "sliding_attention": {"rope_theta": 1e4},
    "full_attention": {"rope_theta": 1e6, "rope_type": "proportional", "partial_rotary_factor": 0.25},
}
_KEYS = ("num_key_value_heads", "head_dim")


def spec(config: Config) -> Spec:
    config.ignore("vocab_size_per_layer_input", "use_double_wide_mlp")  # of what the next two switch on
    config.only("hidden_size_per_layer_input", 0)
    config.only("num_kv_shared_layers", 0)
    config.only("enable_moe_block", True)
    config.choice("use_bidirectional_attention", None, "vision")  # between the parts of an image
    config.only("hidden_activation", "gelu_pytorch_tanh")
    glu = Glu("geglu_tanh")
    router = Router(scaled_input=True, norm=True, expert_scale=True)
    shared = Shared(Dense(config.integer("intermediate_size"), glu), apart=True)
    ffn = read_sparse(config, router, top_k="top_k_experts", shared=shared, glu=glu)
    layers = [Layer(attention, ffn, PRE + POST, scaled=True) for attention in _attentions(config)]
    hidden = config.integer("hidden_size")
    names = halves(LAYER + "experts.gate_up_proj", ffn.intermediate, hidden, ffn.experts) | {
        "down": LAYER + "experts.down_proj",
        "router": LAYER + "router.proj.weight",
        "router_scale": LAYER + "router.scale",
        "expert_scale": LAYER + "router.per_expert_scale",
        "scale": LAYER + "layer_scalar",
        "attn_post_norm": LAYER + "post_attention_layernorm.weight",
        "ffn_norm": LAYER + "pre_feedforward_layernorm.weight",
        "ffn_post_norm": LAYER + "post_feedforward_layernorm.weight",
        "shared_post_norm": LAYER + "post_feedforward_layernorm_1.weight",
        "expert_norm": LAYER + "pre_feedforward_layernorm_2.weight",
        "expert_post_norm": LAYER + "post_feedforward_layernorm_2.weight",
    }
    names |= {f"shared_{part}": f"{LAYER}mlp.{part}_proj.weight" for part in ("gate", "up", "down")}
    softcap = config.number("final_logit_softcapping", None)
    return decoder(config, layers, names=names, tied=True, embedding_scale=hidden**0.5, softcap=softcap)


def _attentions(config: Config) -> list[Attention]:
    """The attention of each layer; those that see everything have heads of another size, and perhaps no values."""
    types = read_types(config, "layer_types", lambda depth: _TYPES[(depth + 1) % 6 == 0], _TYPES)
    types = [*types[:-1], "full_attention"]  # whatever config.json says
    heads, kv_heads, head_dim = read_heads(config, config.integer("head_dim", 256))
    of_k = config.flag("attention_k_eq_v", False)
    wide, few = config.integer("global_head_dim", 512), config.integer("num_global_key_value_heads", kv_heads)
    widths = {"sliding_attention": (kv_heads, head_dim), "full_attention": (few if of_k else kv_heads, wide)}
    own, max_len = config.table("per_layer_config") or Config("", {}), config.integer("max_position_embeddings")
    attentions = []
    for depth, type in enumerate(types):
        table = own.table(str(depth)) or Config("", {})
        kv_heads, head_dim = (table.integer(key, width) for key, width in zip(_KEYS, widths[type]))
        table.finish()
        attentions.append(
            Attention(
                heads,
                kv_heads,
                head_dim,
                read_ropes(config, head_dim, max_len, _ROPES)[type],
                biases=read_biases(config, "qkvo"),
                qk_norm="head",
                v_norm=True,
                v_of_k=of_k and type == "full_attention",
                scale=1.0,
                window=config.integer("sliding_window", 512) if type == "sliding_attention" else None,
            )
        )
    own.finish()
    return attentions
