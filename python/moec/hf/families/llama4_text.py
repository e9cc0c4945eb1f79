# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Llama 4, the part for text."""

import dataclasses

from moec.hf.config import Config
from moec.hf.names import LAYER, block_names
from moec.hf.readers import decoder, depths, read_attention, read_biases, read_sparse, read_types
from moec.hf.spec import Attention, Dense, Layer, Router, Shared, Spec, Temperature
from moec.hf.weights import Fused


def spec(config: Config) -> Spec:
    config.ignore("for_llm_compressor", "router_jitter_noise")  # not of the model; only in training
    hidden, width = config.integer("hidden_size"), config.integer("intermediate_size")
    router = Router("sigmoid", select_logits=True)
    sparse = read_sparse(config, router, "intermediate_size", ("num_local_experts",), shared=Shared(Dense(width)))
    sparse, dense = dataclasses.replace(sparse, weigh_input=True), Dense(config.integer("intermediate_size_mlp", 16384))
    step = config.integer("interleave_moe_layer_step", 1)
    with_experts = config.integers("moe_layers", tuple(depths(config)[step - 1 :: step]))
    layers = [
        Layer(attention, sparse if depth in with_experts else dense)
        for depth, attention in enumerate(_attentions(config))
    ]
    block = LAYER + "feed_forward"
    gate_up, shape = block + ".experts.gate_up_proj", (sparse.experts, hidden, 2 * width)
    names = block_names(block, shared="shared_expert") | {
        "router": block + ".router.weight",
        "gate": Fused(gate_up, shape, "e, i, o"),
        "up": Fused(gate_up, shape, f"e, i, o + {width}"),
        "down": Fused(block + ".experts.down_proj", (sparse.experts, width, hidden), "e, i, o"),
    }
    names |= {f"dense_{part}": f"{block}.{part}_proj.weight" for part in ("gate", "up", "down")}
    return decoder(config, layers, names=names, block=block, eps=1e-5)


def _attentions(config: Config) -> list[Attention]:
    """The attention of each layer: most rotate and see their chunk, the others grow with the position."""
    biases, head_dim = read_biases(config, "qkvo"), config.integer("head_dim", 128)
    rotated = read_attention(config, 5e5, head_dim, interleaved=True, biases=biases)
    temperature = Temperature(config.number("attn_scale", 0.1), config.integer("floor_scale", 8192), first=1)
    if not config.flag("attn_temperature_tuning", True):
        temperature = None
    plain = dataclasses.replace(rotated, rope=None, temperature=temperature)
    if config.flag("use_qk_norm", True):
        rotated = dataclasses.replace(rotated, qk_norm="plain head", norm_after_rope=True)
    if config.is_null("attention_chunk_size"):
        config.refuse("attention_chunk_size", "an integer of at least 1")
    chunks = {"chunked_attention": config.integer("attention_chunk_size", 8192), "full_attention": None}
    interval = config.integer("no_rope_layer_interval", 4)
    rotates = config.integers("no_rope_layers") or [(depth + 1) % interval for depth in depths(config)]
    if len(rotates) < len(depths(config)):
        config.refuse("no_rope_layers", f"at least {len(depths(config))} numbers")
    types = read_types(
        config, "layer_types", lambda depth: "chunked_attention" if rotates[depth] else "full_attention", chunks
    )
    return [dataclasses.replace(rotated if r else plain, chunk=chunks[type]) for r, type in zip(rotates, types)]
