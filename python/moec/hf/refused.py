# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Families of transformers 5.18 that have experts and no page, and what they need that is not there."""

from __future__ import annotations

_ALIEN = {
    "convolutions over time": "inkling_text lfm2_moe zaya",
    "images or sound": (
        "deepseek_ocr2 diffusion_gemma ernie4_5_vl_moe glm4v_moe glm5_next inkling_mm_model "
        "minimax_m3_vl qwen3_5_moe qwen3_omni_moe qwen3_vl_moe qwen4_exp step3p7 vitpose_backbone"
    ),
    "linear attention": "kimi_linear minimax qwen3_5_moe_text qwen3_next qwen4_exp_text",
    "masks that values decide on": "doge",
    "positions to attend to that an indexer chooses": (
        "axk2 deepseek_v32 deepseek_v4 glm_moe_dsa hy_v4 minimax_m3_vl_text"
    ),
    "state-space layers": "granitemoehybrid jamba nemotron_h",
    "tokens that see later ones": "openai_privacy_filter",
}

REFUSED = {family: reason for reason, families in _ALIEN.items() for family in families.split()}
"""For each ``model_type``, what it has that makes it another kind of program."""
