# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Granite 3 with experts, and PowerMoE (arXiv:2408.13359)."""

from __future__ import annotations

from typing import Any

from moec.hf.config import Config
from moec.hf.names import LAYER, halves
from moec.hf.readers import decoder, depths, read_attention, read_biases, read_sparse
from moec.hf.spec import Attention, Layer, Router, Shared, Spec
from moec.hf.weights import Fused


def spec(
    config: Config,
    shared: Shared | None = None,
    names: dict[str, str | Fused] | None = None,
    attentions: list[Attention] | None = None,
) -> Spec:
    attentions = attentions or [read_granite_attention(config) for _ in depths(config)]
    # The softmax of the chosen logits.
    ffn = read_sparse(config, Router(norm=True), "intermediate_size", shared=shared)
    residual = config.number("residual_multiplier", 1.0)
    block = LAYER + "block_sparse_moe"
    experts = halves(block + ".input_linear.weight", ffn.intermediate, config.integer("hidden_size"), ffn.experts)
    experts |= {"router": block + ".router.layer.weight", "down": block + ".output_linear.weight"}
    return decoder(
        config,
        [Layer(attention, ffn, residual=residual) for attention in attentions],
        names=experts | (names or {}),
        block=block,
        embedding_scale=config.number("embedding_multiplier", 1.0),
        logit_scale=1 / config.number("logits_scaling", 1.0),
    )


def read_granite_attention(config: Config, **switches: Any) -> Attention:
    """Attention with a scale of its own."""
    scale = config.number("attention_multiplier", 1.0)
    return read_attention(config, 1e4, biases=read_biases(config, "qkvo"), scale=scale, **switches)
