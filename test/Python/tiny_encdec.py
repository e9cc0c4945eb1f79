# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small configurations of encoder-decoders."""

from __future__ import annotations

ENCODER_DECODERS = {
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
"""For each family, a configuration and what the other switches change."""
