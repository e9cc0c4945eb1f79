# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensor names by role; ``{0}`` stands for the layer, ``{1}`` for the expert."""

from __future__ import annotations

LAYER = "model.layers.{0}."

DECODER = {
    "embed": "model.embed_tokens.weight",
    "norm": "model.norm.weight",
    "head": "lm_head.weight",
    "attn_norm": LAYER + "input_layernorm.weight",
    "ffn_norm": LAYER + "post_attention_layernorm.weight",
    "q": LAYER + "self_attn.q_proj.weight",
    "k": LAYER + "self_attn.k_proj.weight",
    "v": LAYER + "self_attn.v_proj.weight",
    "o": LAYER + "self_attn.o_proj.weight",
    "q_bias": LAYER + "self_attn.q_proj.bias",
    "k_bias": LAYER + "self_attn.k_proj.bias",
    "v_bias": LAYER + "self_attn.v_proj.bias",
    "o_bias": LAYER + "self_attn.o_proj.bias",
    "q_norm": LAYER + "self_attn.q_norm.weight",
    "k_norm": LAYER + "self_attn.k_norm.weight",
    "dense_gate": LAYER + "mlp.gate_proj.weight",
    "dense_up": LAYER + "mlp.up_proj.weight",
    "dense_down": LAYER + "mlp.down_proj.weight",
}


def experts(block: str, gate: str, up: str, down: str) -> dict[str, str]:
    """Names of a router and its experts.

    Parameters
    ----------
    block : str
        Name of the module that holds both.
    gate, up, down : str
        Names of an expert's three projections.
    """
    expert = block + ".experts.{1}."
    return {
        "router": block + ".gate.weight",
        "gate": f"{expert}{gate}.weight",
        "up": f"{expert}{up}.weight",
        "down": f"{expert}{down}.weight",
    }
