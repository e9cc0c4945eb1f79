# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small configurations with sizes that divide nothing, and checkpoints written by hand."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

from tiny_families import FAMILIES

from moec.hf.families import read_spec
from moec.hf.parameters import parameters

_COMMON = {
    "hidden_act": "silu",
    "max_position_embeddings": 96,
    "vocab_size": 131,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

CONFIGS = {
    "olmoe": _COMMON
    | {
        "model_type": "olmoe",
        "hidden_size": 36,
        "intermediate_size": 23,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "num_hidden_layers": 3,
        "num_experts": 7,
        "num_experts_per_tok": 3,
    },
    "mixtral": _COMMON
    | {
        "model_type": "mixtral",
        "hidden_size": 40,
        "intermediate_size": 33,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 2,
        "num_local_experts": 5,
        "num_experts_per_tok": 2,
    },
    "qwen3_moe": _COMMON
    | {
        "model_type": "qwen3_moe",
        "hidden_size": 44,
        "head_dim": 14,
        "intermediate_size": 51,
        "moe_intermediate_size": 19,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 4,
        "num_experts": 9,
        "num_experts_per_tok": 4,
        "norm_topk_prob": True,
    },
}
"""One for each family that every test runs on, with as few switches as possible."""

SWITCHED = {
    "olmoe": {
        "attention_bias": True,
        "clip_qkv": 1.5,
        "norm_topk_prob": True,
        "rope_scaling": {"rope_type": "linear", "factor": 2.5},
    },
    "mixtral": {
        "head_dim": 18,
        "sliding_window": 5,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 48,
        },
    },
    "qwen3_moe": {
        "attention_bias": True,
        "decoder_sparse_step": 2,
        "mlp_only_layers": [3],
        "num_hidden_layers": 6,
        "rope_scaling": {"rope_type": "yarn", "factor": 3.0, "original_max_position_embeddings": 32},
        "sliding_window": 7,
        "tie_word_embeddings": True,
        "use_sliding_window": True,
    },
}
"""For each of them, what the other switches change."""

ALL = {**{family: (CONFIGS[family], SWITCHED[family]) for family in CONFIGS}, **FAMILIES}
"""Both for each family of decoders."""


def write_config(folder: Path, config: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def shapes(folder: Path) -> dict[str, list[int]]:
    """Name and shape of each tensor that a checkpoint with this config.json has."""
    return {
        name: list(stack.shape)
        for parameter in parameters(read_spec(folder))
        for stack in parameter.stacks
        for name in stack.tensors()
    }


def write_tensors(path: Path, tensors: dict[str, list[int]], dtypes: dict[str, str] | None = None) -> None:
    """A safetensors file of zeros; the dtype is F32 where `dtypes` has no other."""
    header, end = {}, 0
    for name, shape in tensors.items():
        dtype = (dtypes or {}).get(name, "F32")
        begin, end = end, end + math.prod(shape) * {"F32": 4, "U8": 1}.get(dtype, 2)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    write_safetensors(path, header, bytes(end))


def write_safetensors(path: Path, header: object, data: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
