# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whole models with random weights beside llama.cpp: prompts, and one token behind a prompt.

They have four layers; gpt-oss has two, so that its vocabulary does not fill the memory.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

COMMON = {
    "hidden_act": "silu",
    "hidden_size": 2048,
    "num_hidden_layers": 4,
    "num_experts_per_tok": 8,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

MODELS = {
    "olmoe": COMMON
    | {
        "model_type": "olmoe",
        "intermediate_size": 1024,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "num_experts": 64,
        "norm_topk_prob": False,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "vocab_size": 50304,
    },
    "qwen3": COMMON
    | {
        "model_type": "qwen3_moe",
        "head_dim": 128,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "num_experts": 128,
        "norm_topk_prob": True,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "vocab_size": 151936,
    },
    "mixtral": COMMON
    | {
        "model_type": "mixtral",
        "intermediate_size": 7168,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0,
        "vocab_size": 32000,
    },
    "gpt-oss": COMMON
    | {
        "model_type": "gpt_oss",
        "head_dim": 64,
        "hidden_size": 2880,
        "num_hidden_layers": 2,
        "intermediate_size": 2880,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "num_local_experts": 32,
        "num_experts_per_tok": 4,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 150000.0},
        "sliding_window": 128,
        "vocab_size": 201088,
    },
}

CALLS = ((512, 0), (128, 0), (16, 0), (1, 128), (1, 3968))
"""Tokens of a call, and how many are in the cache before it."""


def count_experts(config: dict) -> int:
    return config.get("num_experts") or config["num_local_experts"]


def shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor, by its name in a checkpoint."""
    hidden, heads, kv = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
    head = config.get("head_dim", hidden // heads)
    table = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    table["lm_head.weight"] = (config["vocab_size"], hidden)
    layer = {
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (heads * head, hidden),
        "self_attn.k_proj.weight": (kv * head, hidden),
        "self_attn.v_proj.weight": (kv * head, hidden),
        "self_attn.o_proj.weight": (hidden, heads * head),
    }
    if config["model_type"] == "gpt_oss":
        layer |= {f"self_attn.{name}_proj.bias": layer[f"self_attn.{name}_proj.weight"][:1] for name in "qkvo"}
        layer["self_attn.sinks"] = (heads,)
    # OLMoE normalises a whole projection, Qwen3 each head.
    elif config["model_type"] != "mixtral":
        queries, keys = (heads * head, kv * head) if config["model_type"] == "olmoe" else (head, head)
        layer |= {"self_attn.q_norm.weight": (queries,), "self_attn.k_norm.weight": (keys,)}
    layer |= _block(config)
    return table | {
        f"model.layers.{number}.{name}": shape
        for number in range(config["num_hidden_layers"])
        for name, shape in layer.items()
    }


def _block(config: dict) -> dict[str, tuple[int, ...]]:
    """Router and experts of a layer. Those of gpt-oss are stacked, have biases, and gate and up in turns."""
    hidden, experts = config["hidden_size"], count_experts(config)
    inner = config.get("moe_intermediate_size", config["intermediate_size"])
    if config["model_type"] == "gpt_oss":
        return {
            "mlp.router.weight": (experts, hidden),
            "mlp.router.bias": (experts,),
            "mlp.experts.gate_up_proj": (experts, hidden, 2 * inner),
            "mlp.experts.gate_up_proj_bias": (experts, 2 * inner),
            "mlp.experts.down_proj": (experts, inner, hidden),
            "mlp.experts.down_proj_bias": (experts, hidden),
        }
    mixtral = config["model_type"] == "mixtral"
    block, gate, up, down = (
        ("block_sparse_moe", "w1", "w3", "w2") if mixtral else ("mlp", "gate_proj", "up_proj", "down_proj")
    )
    table = {f"{block}.gate.weight": (experts, hidden)}
    for expert in range(experts):
        table |= {f"{block}.experts.{expert}.{name}.weight": (inner, hidden) for name in (gate, up)}
        table[f"{block}.experts.{expert}.{down}.weight"] = (hidden, inner)
    return table


def write_checkpoint(config: dict, folder: Path) -> None:
    """A checkpoint in bf16. Matrices are pieces of one pool of normal numbers, at random places; norms
    are ones."""
    rng = np.random.default_rng(0)
    table, header, end = shapes(config), {}, 0
    for name, shape in table.items():
        begin, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    largest = max(int(np.prod(shape)) for shape in table.values())
    pool = rng.standard_normal(1 << 22, np.float32) / 32
    pool = np.resize((pool.view(np.uint32) >> 16).astype(np.uint16), largest + (1 << 22))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in table.items():
            size, start = int(np.prod(shape)), rng.integers(1 << 22)
            one = np.full(size, 0x3F80, np.uint16)  # 1 in bf16
            file.write((one if name.endswith("norm.weight") else pool[start : start + size]).data)


def inputs(config: dict, tokens: int, past: int) -> np.ndarray:
    """Random tokens [calls, 1 + T] i32 behind how many are in the cache."""
    rng = np.random.default_rng(tokens)
    rows = rng.integers(0, config["vocab_size"], (31 if tokens == 1 else 7, 1 + tokens), np.int32)
    rows[:, 0] = past
    return rows


def work(config: dict, tokens: int, past: int, bits: float) -> tuple[float, float]:
    """Operations of the products of a call, and bytes of the weights that they read and of the cache in f32.

    The bytes are exact for one token. Of more, an expert has none with a chance of (1 - k/E)^T, if each chooses at
    random. Attention's operations are left out. One row of logits is wanted.
    """
    sizes = {name: int(np.prod(shape)) for name, shape in shapes(config).items()}
    head = sizes.pop("lm_head.weight")
    sizes.pop("model.embed_tokens.weight")
    experts = sum(size for name, size in sizes.items() if ".experts." in name)
    dense = sum(sizes.values()) - experts
    chosen = config["num_experts_per_tok"] / count_experts(config)
    active = experts * (1 - (1 - chosen) ** tokens)
    width = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    # Every other layer has a window, if the model has one.
    windows = [config.get("sliding_window", past), past] * (config["num_hidden_layers"] // 2)
    cached = 2 * config["num_key_value_heads"] * width * sum(min(past, window) for window in windows)
    return 2 * (tokens * (dense + experts * chosen) + head), (dense + active + head) * bits / 8 + 4 * cached
