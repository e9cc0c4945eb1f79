# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checkpoints of random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tiny import shapes, write_config, write_safetensors


def random_weights(shapes: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    """Values that bf16 holds exactly, so that checkpoints of both types have the same weights. Rows have a length of
    about 1, so that a product is as large as what goes into it."""
    rng = np.random.default_rng(0)
    return {name: _to_bf16(rng.standard_normal(shape) / np.sqrt(shape[-1])) for name, shape in shapes.items()}


def random_bytes(shapes: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    """Any bytes, but scales of small floats that make weights as large as `random_weights`."""
    rng = np.random.default_rng(1)
    ranges = {name: (119, 126) if name.endswith("scales") else (0, 256) for name in shapes}
    return {name: rng.integers(*ranges[name], shape, np.uint8) for name, shape in shapes.items()}


def random_fp8(shapes: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    """The bits of any 8-bit floats that are numbers, as i8."""
    rng = np.random.default_rng(2)
    return {name: rng.choice([*range(-128, -1), *range(127)], shape).astype(np.int8) for name, shape in shapes.items()}


def write_weights(folder: Path, weights: Mapping[str, np.ndarray], dtype: str) -> Path:
    """Write model.safetensors with weights of a dtype, ``"f32"``, ``"bf16"`` or ``"f16"``.

    Bytes stay bytes, i8 are the bits of 8-bit floats, and the scales of these are f32 anyway.
    """
    header, chunks, end = {}, [], 0
    for name, values in weights.items():
        stored = {"uint8": "u8", "int8": "f8_e4m3"}.get(values.dtype.name, dtype)
        stored = "f32" if name.endswith("_scale_inv") else stored
        if stored == "bf16":
            values = (values.view(np.uint32) >> 16).astype(np.uint16)
        elif stored == "f16":
            values = values.astype(np.float16)
        chunk = values.tobytes()
        begin, end = end, end + len(chunk)
        header[name] = {"dtype": stored.upper(), "shape": values.shape, "data_offsets": [begin, end]}
        chunks.append(chunk)
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", header, b"".join(chunks))
    return folder


def write_checkpoint(folder: Path, config: dict, dtype: str = "f32") -> Path:
    """Write config.json and weights for it."""
    return write_weights(write_config(folder, config), random_weights(shapes(folder)), dtype)


def _to_bf16(values: np.ndarray) -> np.ndarray:
    """f32 with the last 16 bits cut off."""
    return (values.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
