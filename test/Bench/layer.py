# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights and inputs of a layer in files that every contender reads, and its exact results.

Weights lie in `model.safetensors`: `router` [E, H], `gate` and `up` [E, I, H], `down` [E, H, I], and of a shared expert
`shared_gate`, `shared_up` [S, H] and `shared_down` [H, S]. The router is the identity on the first E coordinates of a
row, so that an input says which experts it wants, whatever the dtype.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from shapes import Shape

CHOSEN = 2.0
"""Logit of the last chosen expert; the others' are a quarter larger each, what is not chosen is at most 1."""


def write_weights(shape: Shape, folder: Path) -> None:
    """Normal weights that bf16 holds, as f32 in `f32/model.safetensors` and as bf16 in `bf16/model.safetensors`.

    Their deviation keeps rows at the size that they come with.
    """
    sizes = {
        "gate": (shape.inner, shape.hidden),
        "up": (shape.inner, shape.hidden),
        "down": (shape.hidden, shape.inner),
    }
    shapes = {name: (shape.experts, *size) for name, size in sizes.items()}
    if shape.shared:
        for name, size in sizes.items():
            shapes[f"shared_{name}"] = tuple(shape.shared if extent == shape.inner else extent for extent in size)
    rng = np.random.default_rng(0)
    with _Writer(folder / "f32", "F32", shape, shapes) as wide, _Writer(folder / "bf16", "BF16", shape, shapes) as half:
        for array in [np.eye(shape.experts, shape.hidden, dtype=np.float32), *_normal(shapes.values(), rng)]:
            bits = (array.view(np.uint32) >> 16).astype(np.uint16)
            half.write(bits)
            wide.write(bits.astype(np.uint32) << 16)


def _normal(shapes, rng):
    """Matrices of normal numbers, one at a time."""
    for *experts, rows, columns in shapes:
        for _ in range(experts[0] if experts else 1):
            yield rng.standard_normal((rows, columns), np.float32) * np.float32(columns**-0.5)


class _Writer:
    """A file of tensors that are written one part after another."""

    def __init__(self, folder: Path, dtype: str, shape: Shape, shapes: dict[str, tuple[int, ...]]):
        width, end, header = {"F32": 4, "BF16": 2}[dtype], 0, {}
        for name, extents in {"router": (shape.experts, shape.hidden), **shapes}.items():
            begin, end = end, end + width * int(np.prod(extents))
            header[name] = {"dtype": dtype, "shape": extents, "data_offsets": [begin, end]}
        text = json.dumps(header)
        text = text.ljust(-(-(len(text) + 8) // 64) * 64 - 8).encode()
        folder.mkdir(parents=True, exist_ok=True)
        self.file = open(folder / "model.safetensors", "wb")
        self.file.write(struct.pack("<Q", len(text)) + text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, array: np.ndarray) -> None:
        self.file.write(array.data)


def make_inputs(shape: Shape, tokens: int, routing: str, count: int) -> tuple[np.ndarray, float]:
    """Rows of `count` calls, and how many experts have tokens in one, on average.

    Parameters
    ----------
    shape : Shape
    tokens : int
    routing : str
        ``"balanced"``: k of E experts at random; ``"skewed"``: and expert 0 is the first choice of 60 % of the tokens.
    count : int

    Returns
    -------
    array [count, tokens, H] f32
        Elements are bf16's.
    float
    """
    rng = np.random.default_rng([tokens, count])
    chosen = np.argsort(rng.random((count, tokens, shape.experts), np.float32), -1)[..., : shape.top_k]
    if routing == "skewed":
        hot = rng.random((count, tokens)) < 0.6
        chosen = np.where((chosen == 0) & hot[..., None], chosen[..., :1], chosen)
        chosen[..., 0] = np.where(hot, 0, chosen[..., 0])
    rows = rng.standard_normal((count, tokens, shape.hidden), np.float32)
    rows[..., : shape.experts] = rng.uniform(-1, 1, (count, tokens, shape.experts))
    logits = CHOSEN + 0.25 * np.arange(shape.top_k)[::-1]
    np.put_along_axis(rows, chosen, np.broadcast_to(logits.astype(np.float32), chosen.shape), -1)
    rows = (rows.view(np.uint32) & 0xFFFF0000).view(np.float32)
    return rows, float(np.mean([len(np.unique(call)) for call in chosen]))


class Exact:
    """A layer in float64.

    Parameters
    ----------
    shape : Shape
    weights : mapping of array u16
        As in the file of bf16.
    folder : path
        Where results are kept: float64 takes long.
    """

    def __init__(self, shape: Shape, weights: Mapping[str, np.ndarray], folder: Path):
        self._shape, self._weights, self._folder = shape, weights, folder
        folder.mkdir(exist_ok=True)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Hidden states [T, H] f64 of hidden states [T, H] f32."""
        path = self._folder / f"{hashlib.sha256(rows.tobytes()).hexdigest()}.npy"
        if not path.exists():
            np.save(path, self._compute(rows.astype(np.float64)))
        return np.load(path)

    def _compute(self, rows: np.ndarray) -> np.ndarray:
        logits = rows[:, : self._shape.experts]
        chosen = np.argsort(-logits, 1, kind="stable")[:, : self._shape.top_k]
        factors = np.exp(np.take_along_axis(logits, chosen, 1))
        factors /= factors.sum(1, keepdims=True)
        result = np.zeros_like(rows)
        for expert in np.unique(chosen):
            tokens, slots = np.nonzero(chosen == expert)
            matrices = (self._weights[name][expert] for name in ("gate", "up", "down"))
            result[tokens] += factors[tokens, slots, None] * _ffn(rows[tokens], *matrices)
        if self._shape.shared:
            result += _ffn(rows, *(self._weights[f"shared_{name}"] for name in ("gate", "up", "down")))
        return result


def _ffn(rows: np.ndarray, *weights: np.ndarray) -> np.ndarray:
    """SwiGLU of rows by gate, up and down in bf16."""
    gate, up, down = ((bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64) for bits in weights)
    gated = rows @ gate.T
    return (gated / (1 + np.exp(-gated)) * (rows @ up.T)) @ down.T
