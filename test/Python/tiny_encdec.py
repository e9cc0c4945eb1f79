# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small configurations of encoder-decoders."""

from __future__ import annotations

ENCODERS = {
    "nllb_moe": (
        {
            "model_type": "nllb-moe",
            "bos_token_id": 0,
            "d_model": 36,
            "decoder_attention_heads": 3,
            "decoder_ffn_dim": 29,
            "decoder_layers": 3,
            "decoder_sparse_step": 2,
            "decoder_start_token_id": 2,
            "encoder_attention_heads": 6,
            "encoder_ffn_dim": 23,
            "encoder_layers": 4,
            "encoder_sparse_step": 2,
            "eos_token_id": 2,
            "max_position_embeddings": 96,
            "num_experts": 5,
            "pad_token_id": 1,
            "vocab_size": 131,
        },
        # Layers of one kind.
        {
            "decoder_sparse_step": 1,
            "encoder_sparse_step": 0,
            "moe_token_dropout": 0.3,
            "normalize_router_prob_before_dropping": True,
            "scale_embedding": False,
        },
    ),
    "switch_transformers": (
        {
            "model_type": "switch_transformers",
            "d_ff": 23,
            "d_kv": 10,
            "d_model": 36,
            "decoder_start_token_id": 0,
            "eos_token_id": 1,
            "expert_capacity": 64,
            "num_decoder_layers": 3,
            "num_experts": 5,
            "num_heads": 3,
            "num_layers": 4,
            "num_sparse_decoder_layers": 1,
            "num_sparse_encoder_layers": 2,
            "pad_token_id": 0,
            "tie_word_embeddings": False,
            "vocab_size": 131,
        },
        # Experts that are full, layers of one kind, few buckets, one embedding.
        {
            "expert_capacity": 3,
            "num_decoder_layers": 2,
            "num_layers": 2,
            "num_sparse_encoder_layers": 2,
            "relative_attention_max_distance": 20,
            "relative_attention_num_buckets": 8,
            "tie_word_embeddings": True,
        },
    ),
}
"""For each family, a configuration and what the other switches change; those that are switched are in bf16."""
