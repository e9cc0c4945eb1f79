# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random expressions of moec.ops, fused and vectorised or not, compute what NumPy computes of the same code."""

from __future__ import annotations

import functools
import subprocess
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import moec
from moec import ops
from moec.native import find_tool

WIDTHS = (1, 5, 37)
SEEDS = range(12)

# Expressions are up to 8 operations deep, and factors of up to about 10 carry errors on; less than 1e-6 is seen.
TOLERANCE = 1e-5

TABLE = np.random.default_rng(1).normal(0, 1, (6, max(WIDTHS)))
SQUARE = np.random.default_rng(2).normal(0, 1, (max(WIDTHS), max(WIDTHS)))

NUMPY = SimpleNamespace(
    **{name: getattr(np, name) for name in ("abs", "exp", "maximum", "minimum", "sqrt", "sum", "tanh", "where")},
    concatenate=np.concatenate,
    max=functools.partial(np.max, initial=-np.inf),
    real=lambda x: x.astype(np.float64),
    sigmoid=lambda x: 1 / (1 + np.exp(-x)),
    take=lambda table, indices: table[np.clip(indices, 0, len(table) - 1)],
)
"""NumPy with the names of moec.ops."""

OPS = SimpleNamespace(**{name: getattr(ops, name) for name in ops.__all__}, real=lambda x: x.astype("f32"))


def expression(m: Any, seed: int, x: Any, y: Any, i: Any, table: Any, square: Any) -> tuple:
    """Two of the results of random operations on earlier results."""
    rng, width = np.random.default_rng(seed), x.shape[1]
    half = max(width // 2, 1)
    operations = [
        lambda a, b: a + b,
        lambda a, b: a * b,
        lambda a, b: m.tanh(a) - b * 0.5,
        lambda a, b: m.where(a > b, a, m.sigmoid(b)),
        lambda a, b: a - m.max(a, 1, keepdims=True),
        lambda a, b: a / (m.sum(m.abs(a), 1, keepdims=True) + 1),
        lambda a, b: m.concatenate([a[:, :half], b[:, :half], a], 1)[:, -width:],
        lambda a, b: m.take(table, i) + a,
        lambda a, b: m.tanh(a) @ square,
        lambda a, b: m.where((a[:, :1] > 0) & (b > 0), a, b[:, width - 1 :]),
        lambda a, b: a * m.real(i)[:, None] * 0.1,
        lambda a, b: (m.tanh(a).T * 1.5).T + b[:, 0][:, None],
        lambda a, b: m.minimum(a, m.sum(b, 0) * 0.1),
        lambda a, b: m.maximum(m.exp(m.tanh(a)), m.sqrt(m.abs(b))),
    ]
    values = [x, y]
    for _ in range(8):
        a, b = (values[rng.integers(len(values))] for _ in range(2))
        values.append(operations[rng.integers(len(operations))](a, b))
    return tuple(values[-2:])


@functools.cache
def build() -> tuple[ops.Program, dict[int, tuple[np.ndarray, np.ndarray]]]:
    """A program with a function for each width and seed, and the weights by width."""
    program, arrays = ops.Program(), {}
    for width in WIDTHS:
        table = program.weight(f"table{width}", TABLE[:, :width])
        square = program.weight(f"square{width}", SQUARE[:width, :width] / np.sqrt(width))
        arrays[width] = table.array, square.array
        for seed in SEEDS:

            def function(x, y, i, seed=seed, weights=(table, square)):
                return expression(OPS, seed, x, y, i, *weights)

            function.__name__ = f"f{width}_{seed}"
            program.function(x=ops.f32("T", width), y=ops.f32("T", width), i=ops.i32("T"))(function)
    return program, arrays


@pytest.fixture(scope="session")
def packages_of_expressions(tmp_path_factory):
    """Compiles the program, once for each variant."""

    @functools.cache
    def compile(fuse):
        folder, (program, _) = tmp_path_factory.mktemp("expressions"), build()
        program.save_weights(folder)
        options = [f"--checkpoint={folder}", f"--pipeline-options=fuse={str(fuse).lower()}"]
        command = [find_tool("moe-compile"), "-", "-o", folder / "expressions.moe", *options]
        subprocess.run(command, input=str(program), text=True, check=True)
        return folder / "expressions.moe"

    return compile


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("fuse", [False, True], ids=["unfused", "fused"])
def test_expression(packages_of_expressions, isa, fuse, width, seed):
    function = getattr(moec.load(packages_of_expressions(fuse), isa=isa), f"f{width}_{seed}")
    for tokens in (0, 1, 19):
        rng = np.random.default_rng(tokens)
        x, y = rng.normal(0, 1, (2, tokens, width)).astype(np.float32)
        i = rng.integers(-1, 8, tokens).astype(np.int32)
        weights = (array.astype(np.float64) for array in build()[1][width])
        expected = expression(NUMPY, seed, x.astype(np.float64), y.astype(np.float64), i, *weights)
        for a, e in zip(function(x, y, i), expected):
            assert a.shape == e.shape
            np.testing.assert_allclose(a, e, rtol=0, atol=TOLERANCE * max(1, np.abs(e).max(initial=0)))
