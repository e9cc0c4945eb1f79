# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The programs of test/Programs, compiled and called."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from checkpoints import random_weights, write_weights

import moec
from moec.native import find_tool

_FOLDER = Path(__file__).parents[1] / "Programs"
_PARAMETER = re.compile(r'moe\.parameter @(\S+) : tensor<([\dx]+)x\w+> from "(.*)"')
_THREADS = (1, 3)


@dataclass(frozen=True)
class Package:
    """A compiled program and its weights: each parameter by name, in f32."""

    path: Path
    weights: dict[str, np.ndarray]


class Program:
    """A loaded package. Its functions are methods; each call is made on one and on several threads, which must agree in
    every bit."""

    def __init__(self, package: Package, isa: str):
        self.weights = package.weights
        self._models = [moec.load(package.path, threads, isa) for threads in _THREADS]

    def reserve(self, slots: int, max_len: int, max_tokens: int) -> None:
        """Make empty caches."""
        for model in self._models:
            model.reserve(slots, max_len, max_tokens)

    def __getattr__(self, name: str) -> Callable:
        def call(*inputs):
            first, *others = [getattr(model, name)(*inputs) for model in self._models]
            for other in others:
                np.testing.assert_equal(other, first)
            return first

        return call


def compile_program(name: str, dtype: str, fuse: bool, folder: Path) -> Package:
    """Compile a program with random weights.

    Programs declare weights in bf16 and write that word nowhere else, so that replacing it makes them f32.
    """
    text = (_FOLDER / f"{name}.mlir").read_text().replace("bf16", dtype)
    parameters = [_Parameter(*match) for match in _PARAMETER.findall(text)]
    tensors = random_weights({name: shape for p in parameters for name, shape in p.tensors()})
    checkpoint = write_weights(folder / "checkpoint", tensors, dtype)
    path = folder / f"{name}.moe"
    options = [f"--checkpoint={checkpoint}", f"--pipeline-options=fuse={str(fuse).lower()}"]
    subprocess.run([find_tool("moe-compile"), "-", "-o", path, *options], input=text, text=True, check=True)
    return Package(path, {p.name: p.stack(tensors) for p in parameters})


@dataclass(frozen=True)
class _Parameter:
    """A declaration: its symbol, extents as in ``5x23x36``, and the name of its tensors with ``{0}``, ``{1}``, ..."""

    name: str
    extents: str
    pattern: str

    def tensors(self) -> Iterator[tuple[str, list[int]]]:
        """Name and shape of each tensor, in row-major order of the leading extents."""
        shape = [int(extent) for extent in self.extents.split("x")]
        leading = self.pattern.count("{")
        for numbers in itertools.product(*map(range, shape[:leading])):
            yield self.pattern.format(*numbers), shape[leading:]

    def stack(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        shape = [int(extent) for extent in self.extents.split("x")]
        return np.concatenate([tensors[name].reshape(-1) for name, _ in self.tensors()]).reshape(shape)
