# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Granite with experts, windows and sinks."""

import dataclasses

from moec.hf.config import Config
from moec.hf.families import granitemoe
from moec.hf.names import LAYER, halves
from moec.hf.readers import read_windows
from moec.hf.rope import read_rope
from moec.hf.spec import Attention, Dense, Shared, Spec


def spec(config: Config) -> Spec:
    shared, names = None, {"router": LAYER + "block_sparse_moe.router.weight"}
    hidden, experts = config.integer("hidden_size"), LAYER + "block_sparse_moe.experts."
    names |= halves(
        experts + "gate_up_proj", config.integer("intermediate_size"), hidden, config.integer("num_local_experts")
    )
    names |= {"down": experts + "down_proj"}
    if width := config.integer("shared_intermediate_size", 0, minimum=0):
        shared = Shared(Dense(width))
        names |= halves(LAYER + "shared_mlp.input_linear.weight", width, hidden, prefix="shared_")
        names |= {"shared_down": LAYER + "shared_mlp.output_linear.weight"}
    return granitemoe.spec(config, shared, names, _attentions(config))


def _attentions(config: Config) -> list[Attention]:
    """The attention of each layer; each has a base of its own, and those where it is 0 do not rotate."""
    full = granitemoe.read_granite_attention(config, sinks=True)
    attentions = read_windows(config, full, lambda depth: depth % 4 != 0, 128)
    thetas, max_len = (
        config.numbers("layer_rope_theta", len(attentions), None),
        config.integer("max_position_embeddings"),
    )
    if thetas is None:
        return attentions
    ropes = {theta: read_rope(config, full.head_dim, max_len, theta, theta=theta) for theta in set(thetas) if theta}
    return [dataclasses.replace(a, rope=ropes.get(theta)) for a, theta in zip(attentions, thetas)]
