# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small configurations of the families that are tested in short, again with sizes that divide nothing."""

from __future__ import annotations

_SIZES = {
    "hidden_act": "silu",
    "max_position_embeddings": 96,
    "vocab_size": 131,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "hidden_size": 36,
    "intermediate_size": 29,
    "moe_intermediate_size": 23,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "num_hidden_layers": 3,
    "num_experts": 7,
    "num_experts_per_tok": 3,
}


def _tiny(family: str, without: str = "", **own: object) -> dict[str, object]:
    """The common sizes, less those that a family has other names for, and its own keys."""
    return {"model_type": family} | {key: value for key, value in _SIZES.items() if key not in without.split()} | own


_YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 3.0, "original_max_position_embeddings": 32}
_LINEAR = {"rope_type": "linear", "rope_theta": 2e4, "factor": 2.5}
_EXPERTS = "num_experts"
_ROUTED = {"n_routed_experts": 8, "n_shared_experts": 2}
_GROUPED = {"n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5, "norm_topk_prob": False}
_DBRX_EXPERTS = {"ffn_hidden_size": 23, "moe_num_experts": 7, "moe_top_k": 3}
_GRANITE = {"attention_multiplier": 0.3, "embedding_multiplier": 1.5, "logits_scaling": 2.0, "residual_multiplier": 0.7}
_TYPES = ["sliding_attention", "full_attention", "sliding_attention"]

_LONG = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0, 1.2, 1.5],
    "long_factor": [1.0, 2.0, 4.0],
    "short_mscale": 1.1,
    "long_mscale": 1.2,
    "original_max_position_embeddings": 64,
}
_LATENT = {"q_lora_rank": None, "kv_lora_rank": 18, "qk_nope_head_dim": 10, "qk_rope_head_dim": 6, "v_head_dim": 7}
_MISTRAL = _YARN | {"llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 16}
_PROPORTIONAL = {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.5, "factor": 1.5}
_SCALED = _YARN | {"mscale": 0.7, "mscale_all_dim": 1.3}

FAMILIES = {
    "afmoe": (
        _tiny("afmoe", head_dim=8, sliding_window=5),
        {
            "attention_bias": True,
            "mup_enabled": True,
            "num_dense_layers": 2,
            "num_shared_experts": 1,
            "route_scale": 2.5,
        }
        | {"layer_types": _TYPES, "rope_parameters": _LINEAR, "tie_word_embeddings": True},
    ),
    "aria_text": (
        _tiny("aria_text", "num_experts num_experts_per_tok moe_intermediate_size", moe_num_experts=7, moe_topk=3),
        {"attention_bias": True, "head_dim": 10, "mlp_bias": True, "moe_num_shared_experts": 1}
        | {"rope_parameters": _YARN, "tie_word_embeddings": True},
    ),
    "axk1": (
        _tiny(
            "axk1", _EXPERTS, num_key_value_heads=6, **_ROUTED, **_LATENT | {"q_lora_rank": 13}, n_group=1, topk_group=1
        ),
        {"attention_bias": True, "first_k_dense_replace": 2, "n_shared_experts": 1, "rope_parameters": _SCALED}
        | {"rope_interleave": False}
        | _GROUPED,
    ),
    "cohere2_moe": (
        _tiny("cohere2_moe", "moe_intermediate_size", head_dim=10, sliding_window=5, num_hidden_layers=4),
        {"attention_bias": True, "expert_selection_fn": "sigmoid", "first_k_dense_replace": 1, "logit_scale": 0.5}
        | {"num_shared_experts": 2, "prefix_dense_intermediate_size": 31, "rms_norm_eps": 1e-5},
    ),
    "deepseek_v2": (
        _tiny("deepseek_v2", _EXPERTS, num_key_value_heads=6, **_ROUTED, **_LATENT),
        {"attention_bias": True, "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2, "n_shared_experts": 1}
        | {"q_lora_rank": 13, "rope_parameters": _SCALED, "topk_method": "group_limited_greedy"}
        | {"routed_scaling_factor": 2.5},
    ),
    "deepseek_v3": (
        _tiny(
            "deepseek_v3",
            _EXPERTS,
            num_key_value_heads=6,
            **_ROUTED,
            **_LATENT,
            n_group=1,
            topk_group=1,
            first_k_dense_replace=1,
        ),
        {"attention_bias": True, "first_k_dense_replace": 2, "n_shared_experts": 1, "rope_parameters": _SCALED}
        | {"q_lora_rank": 13, "rope_interleave": False}
        | _GROUPED,
    ),
    "dbrx": (
        {"model_type": "dbrx", "d_model": 36, "max_seq_len": 96, "n_heads": 6, "n_layers": 3, "vocab_size": 131}
        | {"attn_config": {"clip_qkv": 8.0, "kv_n_heads": 3, "rope_theta": 1e4}}
        | {"ffn_config": _DBRX_EXPERTS},
        {"attn_config": {"clip_qkv": 1.5, "kv_n_heads": 2, "rope_theta": 2e4}, "rope_parameters": _LINEAR}
        | {"ffn_config": _DBRX_EXPERTS | {"moe_normalize_expert_weights": None}},
    ),
    "dots1": (
        _tiny("dots1", _EXPERTS, **_ROUTED, norm_topk_prob=True),
        {"attention_bias": True, "first_k_dense_replace": 1, "head_dim": 8, "layer_types": _TYPES, "sliding_window": 5}
        | {"n_shared_experts": 1, "rope_parameters": _YARN}
        | _GROUPED,
    ),
    "ernie4_5_moe": (
        _tiny("ernie4_5_moe", "num_experts num_experts_per_tok", moe_num_experts=7, moe_k=3),
        {"moe_layer_end_index": 1, "moe_norm_min": 0.9, "moe_num_shared_experts": 0, "tie_word_embeddings": False}
        | {"use_bias": True, "rope_parameters": _LINEAR},
    ),
    "exaone_moe": (
        _tiny("exaone_moe", num_experts=8, sliding_window=5),
        {"first_k_dense_replace": 2, "layer_types": _TYPES, "num_shared_experts": 2, "rope_parameters": _YARN}
        | _GROUPED,
    ),
    "flex_olmo": (
        _tiny("flex_olmo", "moe_intermediate_size"),
        {"attention_bias": True, "norm_topk_prob": True, "rope_parameters": _YARN, "tie_word_embeddings": True},
    ),
    "gemma4_text": (
        _tiny("gemma4_text", "hidden_act num_experts_per_tok", enable_moe_block=True, hidden_size_per_layer_input=0)
        | {"global_head_dim": 12, "head_dim": 8, "layer_types": _TYPES[:2] * 2, "num_hidden_layers": 4}
        | {"sliding_window": 5, "top_k_experts": 3},
        {"attention_bias": True, "attention_k_eq_v": True, "final_logit_softcapping": 2.0, "layer_types": None}
        | {"num_global_key_value_heads": 2, "tie_word_embeddings": False}
        | {"rope_parameters": {"full_attention": _PROPORTIONAL, "sliding_attention": _LINEAR}},
    ),
    "glm4_moe": (
        _tiny("glm4_moe", _EXPERTS, **_ROUTED, head_dim=16),
        {"attention_bias": True, "first_k_dense_replace": 2, "n_shared_experts": 1, "use_qk_norm": True}
        | {"rope_parameters": _LINEAR | {"partial_rotary_factor": 0.75}}
        | _GROUPED,
    ),
    "glm4_moe_lite": (
        _tiny("glm4_moe_lite", _EXPERTS, num_key_value_heads=6, **_ROUTED, **_LATENT),
        {"attention_bias": True, "mlp_layer_types": ["sparse", "dense", "sparse"], "n_shared_experts": 1}
        | {"q_lora_rank": 13, "rope_interleave": False, "rope_parameters": _SCALED}
        | _GROUPED,
    ),
    "gpt_oss": (
        _tiny("gpt_oss", "num_experts moe_intermediate_size", num_local_experts=7, head_dim=10, sliding_window=5)
        | {"rope_parameters": _YARN | {"truncate": False}},
        {"attention_bias": False, "layer_types": _TYPES[1:] + _TYPES[:1], "tie_word_embeddings": True},
    ),
    "granitemoe": (
        _tiny("granitemoe", "num_experts moe_intermediate_size", num_local_experts=7),
        {"attention_bias": True, "rope_parameters": _LINEAR, "tie_word_embeddings": True} | _GRANITE,
    ),
    "granitemoe_swa": (
        _tiny("granitemoe_swa", "num_experts moe_intermediate_size", num_local_experts=7, sliding_window=5),
        {"attention_bias": True, "layer_rope_theta": [0, 5e3, 2e4], "layer_types": _TYPES, "rope_parameters": _YARN}
        | {"shared_intermediate_size": 19, "tie_word_embeddings": True}
        | _GRANITE,
    ),
    "granitemoeshared": (
        _tiny("granitemoeshared", "num_experts moe_intermediate_size", num_local_experts=7),
        {"attention_bias": True, "rope_parameters": _YARN, "shared_intermediate_size": 19} | _GRANITE,
    ),
    "hunyuan_v1_moe": (
        _tiny("hunyuan_v1_moe", "moe_intermediate_size num_experts_per_tok", moe_topk=3, head_dim=10),
        {"attention_bias": True, "tie_word_embeddings": True}
        | {"rope_parameters": {"rope_type": "dynamic", "alpha": 5.0, "factor": 1.0, "rope_theta": 1e4}},
    ),
    "hy_v3": (
        _tiny("hy_v3", head_dim=10),
        {"attention_bias": True, "enable_moe_fp32_combine": False, "mlp_bias": True, "num_shared_experts": 2}
        | {"mlp_layer_types": ["sparse", "dense", "sparse"], "router_scaling_factor": 1.5, "rope_parameters": _YARN},
    ),
    "jetmoe": (
        _tiny("jetmoe", "hidden_act num_experts moe_intermediate_size", kv_channels=10, num_local_experts=7)
        | {"num_attention_heads": 9},
        {"num_attention_heads": 6, "num_experts_per_tok": 2, "rms_norm_eps": 1e-2, "rope_parameters": _YARN}
        | {"tie_word_embeddings": False},
    ),
    "laguna": (
        _tiny("laguna", head_dim=12, shared_expert_intermediate_size=17, sliding_window=5),
        {"attention_bias": True, "gating": "per-element", "layer_types": _TYPES, "moe_routed_scaling_factor": 2.5}
        | {"mlp_layer_types": ["sparse", "dense", "sparse"], "num_attention_heads_per_layer": [6, 3, 6]}
        | {"moe_router_logit_softcapping": 1.5},
    ),
    "llama4_text": (
        _tiny("llama4_text", "num_experts moe_intermediate_size", num_local_experts=7, head_dim=10)
        | {"num_experts_per_tok": 1, "no_rope_layer_interval": 2, "attention_chunk_size": 6, "floor_scale": 4},
        {"attention_bias": True, "intermediate_size_mlp": 31, "interleave_moe_layer_step": 2, "num_hidden_layers": 4}
        | {"num_experts_per_tok": 2, "use_qk_norm": False, "attn_temperature_tuning": False}
        | {"layer_types": ["chunked_attention", "chunked_attention", "full_attention", "chunked_attention"]}
        | {"rope_parameters": _LINEAR, "tie_word_embeddings": True},
    ),
    "longcat_flash": (
        _tiny(
            "longcat_flash", "num_experts num_experts_per_tok moe_intermediate_size intermediate_size num_hidden_layers"
        )
        | {"expert_ffn_hidden_size": 23, "ffn_hidden_size": 29, "moe_topk": 3, "n_routed_experts": 5, "num_layers": 2}
        | _LATENT
        | {"head_dim": 6, "num_key_value_heads": 6, "q_lora_rank": 13, "zero_expert_num": 3},
        {"attention_bias": True, "rope_parameters": _SCALED, "routed_scaling_factor": 1.5, "tie_word_embeddings": True},
    ),
    "mellum": (
        _tiny("mellum", head_dim=10),
        {"attention_bias": True, "layer_types": _TYPES, "mlp_layer_types": ["dense", "sparse", "sparse"]}
        | {"norm_topk_prob": False, "sliding_window": 5, "tie_word_embeddings": True}
        | {"rope_parameters": {"full_attention": _YARN, "sliding_attention": _LINEAR}},
    ),
    "mistral4": (
        _tiny("mistral4", _EXPERTS, num_key_value_heads=6, **_ROUTED, **_LATENT, rope_parameters=_MISTRAL),
        {"attention_bias": True, "first_k_dense_replace": 1, "n_shared_experts": 1, "q_lora_rank": 13}
        | {"rope_interleave": False, "rope_parameters": _MISTRAL | {"mscale": 1.0, "mscale_all_dim": 1.0}}
        | _GROUPED,
    ),
    "mimo_v2_flash": (
        _tiny("mimo_v2_flash", _EXPERTS, n_routed_experts=8, head_dim=18, v_head_dim=14, sliding_window=5),
        {"attention_bias": True, "attention_value_scale": None, "layer_types": _TYPES}
        | {"mlp_layer_types": ["sparse", "dense", "sparse"]}
        | _GROUPED,
    ),
    "minimax_m2": (
        _tiny("minimax_m2", "num_experts moe_intermediate_size", num_local_experts=7, head_dim=10),
        {"rope_parameters": _LINEAR | {"partial_rotary_factor": 0.6}, "tie_word_embeddings": True},
    ),
    "phimoe": (
        _tiny("phimoe", "num_experts moe_intermediate_size", num_local_experts=7, num_experts_per_tok=2),
        {"attention_bias": True, "lm_head_bias": True, "router_jitter_noise": 0.2, "sliding_window": 5}
        | {"tie_word_embeddings": True}
        | {"rope_parameters": _LONG},
    ),
    "qwen2_moe": (
        _tiny("qwen2_moe", shared_expert_intermediate_size=31),
        {"decoder_sparse_step": 2, "max_window_layers": 2, "norm_topk_prob": True, "num_hidden_layers": 4}
        | {"qkv_bias": False, "rope_parameters": _YARN, "sliding_window": 5, "use_sliding_window": True},
    ),
    "solar_open": (
        _tiny("solar_open", "num_experts intermediate_size", **_ROUTED, head_dim=10),
        {"attention_bias": True, "n_shared_experts": 1, "tie_word_embeddings": True}
        | {"rope_parameters": _LINEAR}
        | _GROUPED,
    ),
}
"""For each family, as few switches as possible, and what the other switches change."""
