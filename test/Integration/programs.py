# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The programs of test/Programs, compiled and called."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from checkpoints import random_bytes, random_fp8, random_weights, write_weights

import moec
from moec import reference
from moec.native import find_tool

_FOLDER = Path(__file__).parents[1] / "Programs"
_PARAMETER = re.compile(r"moe\.parameter @(\S+) : tensor<([\dx]+)x(\w+)> (from|view of|mxfp4 of|fp8 of) (.*)")
_VIEW = re.compile(r"@(\S+) by affine_map<(.*) -> (.*)>")
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


def compile_program(name: str, dtype: str, fuse: bool, folder: Path, options: Sequence[str] = ()) -> Package:
    """Compile a program with random weights and further options.

    Programs declare weights in bf16 and write that word nowhere else, so that replacing it makes them f32.
    """
    text = (_FOLDER / f"{name}.mlir").read_text().replace("bf16", dtype)
    parameters = [_Parameter(*match) for match in _PARAMETER.findall(text)]
    tensors = _random_tensors([p for p in parameters if p.origin == "from"])
    checkpoint = write_weights(folder / "checkpoint", tensors, dtype)
    path = folder / f"{name}.moe"
    command = [find_tool("moe-compile"), "-", "-o", path, f"--checkpoint={checkpoint}"]
    fusion = [] if fuse else ["--pipeline-options=fuse=false"]
    subprocess.run([*command, *fusion, *options], input=text, text=True, check=True)
    weights: dict[str, np.ndarray] = {}
    for parameter in parameters:
        weights[parameter.name] = parameter.value(tensors, weights)
    return Package(path, weights)


def _random_tensors(parameters: list[_Parameter]) -> dict[str, np.ndarray]:
    """The tensors that parameters are read from."""

    def shapes(*dtypes: str) -> dict[str, list[int]]:
        return {name: shape for p in parameters if p.dtype in dtypes for name, shape in p.tensors()}

    return random_weights(shapes("f32", "bf16")) | random_bytes(shapes("i8")) | random_fp8(shapes("f8E4M3FN"))


@dataclass(frozen=True)
class _Parameter:
    """A declaration: its symbol, extents as in ``5x23x36``, dtype, and what follows ``from``, ``view of``, ``mxfp4 of``
    or ``fp8 of``."""

    name: str
    extents: str
    dtype: str
    origin: str
    source: str

    @property
    def shape(self) -> list[int]:
        return [int(extent) for extent in self.extents.split("x")]

    def tensors(self) -> Iterator[tuple[str, list[int]]]:
        """Name and shape of each tensor, in row-major order of the leading extents."""
        leading = self.source.count("{")
        for numbers in itertools.product(*map(range, self.shape[:leading])):
            yield self.source.strip('"').format(*numbers), self.shape[leading:]

    def value(self, tensors: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> np.ndarray:
        """Its elements, from the checkpoint's tensors or from the parameters before it."""
        if self.origin == "from":
            stack = np.concatenate([tensors[name].reshape(-1) for name, _ in self.tensors()])
            return stack.reshape(self.shape)
        if self.origin in ("mxfp4 of", "fp8 of"):
            elements, scales = (others[name.strip("@")] for name in self.source.strip("[]").split(", "))
            if self.origin == "mxfp4 of":
                return reference.mxfp4(elements, scales)
            return reference.round_rows(reference.fp8(elements.view(np.uint8), scales), self.dtype)
        source, indices, expressions = _VIEW.fullmatch(self.source).groups()
        expressions = expressions.replace("floordiv", "//").replace("mod", "%")
        return reference.view(others[source], self.shape, eval(f"lambda {indices[1:-1]}: ({expressions[1:-1]},)"))
