# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensor names by role; ``{0}`` stands for the layer, ``{1}`` for the expert."""

from __future__ import annotations

from moec.hf.weights import Fused

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
    "q_norm": LAYER + "self_attn.q_norm.weight",
    "k_norm": LAYER + "self_attn.k_norm.weight",
    "attn_gate": LAYER + "self_attn.gate_proj.weight",
    "sinks": LAYER + "self_attn.sinks",
    "dense_gate": LAYER + "mlp.gate_proj.weight",
    "dense_up": LAYER + "mlp.up_proj.weight",
    "dense_down": LAYER + "mlp.down_proj.weight",
}

POST_NORMS = {
    "attn_post_norm": LAYER + "post_attention_layernorm.weight",
    "ffn_post_norm": LAYER + "post_feedforward_layernorm.weight",
}
"""For layers that normalise the results of attention and network."""


def block_names(
    block: str = LAYER + "mlp",
    gate: str = "gate_proj",
    up: str = "up_proj",
    down: str = "down_proj",
    shared: str = "shared_experts",
) -> dict[str, str]:
    """Names of a router, its experts and the network beside them.

    Parameters
    ----------
    block : str
        Name of the module that holds them.
    gate, up, down : str
        Names of an expert's three projections.
    shared : str
        Name of the network beside them.
    """
    expert, beside = block + ".experts.{1}.", f"{block}.{shared}."
    return {
        "router": block + ".gate.weight",
        "correction": block + ".gate.e_score_correction_bias",
        "gate": f"{expert}{gate}.weight",
        "up": f"{expert}{up}.weight",
        "down": f"{expert}{down}.weight",
        "shared_gate": beside + "gate_proj.weight",
        "shared_up": beside + "up_proj.weight",
        "shared_down": beside + "down_proj.weight",
    }


def halves(tensor: str, width: int, hidden: int, experts: int | None = None, prefix: str = "") -> dict[str, Fused]:
    """Gate and up as the two halves of the rows of one tensor, [2 width, hidden].

    Parameters
    ----------
    experts : int or None
        Number of experts, whose tensors are one too.
    prefix : str
        Of the roles.
    """
    shape, leading = ((2 * width, hidden), "") if experts is None else ((experts, 2 * width, hidden), "e, ")
    return {
        f"{prefix}gate": Fused(tensor, shape, f"{leading}o, i"),
        f"{prefix}up": Fused(tensor, shape, f"{leading}o + {width}, i"),
    }
