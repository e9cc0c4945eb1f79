# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The routers of test/Programs/routers, compiled and called."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from oracles import ORACLES
from routers import ROUTERS, Sizes, build

from moec.native import find_tool


def compile_all(sizes: Sizes, folder: Path, isa: str) -> dict[str, tuple[Path, dict[str, np.ndarray]]]:
    """Package and weights of each router, for some levels of instruction sets."""

    def compile_one(name: str) -> tuple[Path, dict[str, np.ndarray]]:
        program, arrays = built[name]
        checkpoint, package = folder / name, folder / f"{name}.moe"
        checkpoint.mkdir()
        program.save_weights(checkpoint)
        command = [find_tool("moe-compile"), "-", f"--checkpoint={checkpoint}", "-o", package, f"--isa={isa}"]
        subprocess.run(command, input=str(program), text=True, check=True, stderr=subprocess.PIPE)
        return package, arrays[name]

    built = {name: build([name], sizes) for name in ROUTERS}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(ROUTERS, pool.map(compile_one, ROUTERS)))


def inputs(name: str, sizes: Sizes, tokens: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Rows and further arguments: three sequences, the second without tokens; token ids, a seed, logits."""
    rng = np.random.default_rng(tokens)
    makers = {
        "cu": lambda shape: np.array([0, tokens // 3, tokens // 3, tokens], np.int32),
        "tokens": lambda shape: rng.integers(0, 50, shape).astype(np.int32),
        "seed": lambda shape: np.array([7, -3], np.int32),
        "previous": lambda shape: rng.normal(0, 1, shape).astype(np.float32),
    }
    x = rng.normal(0, 1, (tokens, sizes.hidden)).astype(np.float32)
    types = ROUTERS[name].arguments(sizes)
    return x, [makers[a]([tokens if extent == "T" else extent for extent in types[a].shape]) for a in types]


def errors(name: str, model, weights: dict[str, np.ndarray], tokens: int) -> Iterator[float]:
    """For each result its largest error, relative to the largest expected value or 1."""
    x, others = inputs(name, Sizes(), tokens)
    results = getattr(model, name)(x, *others)
    expected = ORACLES[name].compute(x.astype(np.float64), weights, *others)
    results, expected = (r if isinstance(r, tuple) else (r,) for r in (results, expected))
    for result, wanted in zip(results, expected, strict=True):
        assert np.shape(result) == np.shape(wanted)
        scale = max(np.abs(wanted).max(initial=0), 1)
        yield np.abs(result - wanted).max(initial=0) / scale
