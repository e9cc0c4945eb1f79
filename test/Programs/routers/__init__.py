# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every published router and expert body as a program of moec.ops: a layer's function from x [T, H] to [T, H].

A program reads its weights by name from `Weights`, so that an oracle can read the same ones.
``python test/Programs/routers DIR`` writes each as MLIR.
"""

import numpy as np

from moec import ops
from moec.ops import Program
from routers import bounded, capacity, deepseek, early, program, softmax
from routers.program import Router, Sizes, Weights

_PAGES = (early, capacity, softmax, deepseek, bounded)

ROUTERS: dict[str, Router] = {
    name: router
    for page in _PAGES
    for name, router in program.ROUTERS.items()
    if router.build.__module__ == page.__name__
}
"""By name, page by page."""

__all__ = ["ROUTERS", "Router", "Sizes", "build"]


def build(names: list[str], sizes: Sizes) -> tuple[Program, dict[str, dict[str, np.ndarray]]]:
    """One program with a function for each router, and the weights of each."""
    built, arrays = Program(), {}
    for name in names:
        entry = ROUTERS[name]
        weights = Weights(built, name, sizes)

        def function(x, _entry=entry, _weights=weights, **others):
            return _entry.build(x, _weights, sizes, **others)

        function.__name__ = name
        built.function(x=ops.f32("T", sizes.hidden), **entry.arguments(sizes))(function)
        arrays[name] = weights.arrays
    return built, arrays
