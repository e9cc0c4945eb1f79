# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the programs of the catalogue share: sizes, weights, networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moec import ops
from moec.ops import Program, Tensor, Weight

CU = ops.i32("B+1")


@dataclass(frozen=True)
class Sizes:
    """Extents of a program."""

    hidden: int = 40
    intermediate: int = 24
    experts: int = 8
    top_k: int = 2


@dataclass(frozen=True)
class Router:
    """A program of the catalogue.

    Attributes
    ----------
    title : str
        Architectures that it is.
    source : str
        Where its formula is published.
    build : callable
        Of x, weights, sizes and the tensors of `arguments`, to the result or results.
    arguments : callable
        Of sizes, to the types of what it takes beside x, by name.
    """

    title: str
    source: str
    build: Callable
    arguments: Callable


ROUTERS: dict[str, Router] = {}


def router(title: str, source: str, **arguments):
    """Add a program to the catalogue under the name of its function; the type of an argument may depend on sizes."""

    def add(build: Callable) -> Callable:
        types = {name: type if callable(type) else lambda z, type=type: type for name, type in arguments.items()}
        ROUTERS[build.__name__] = Router(
            title, source, build, lambda z: {name: type(z) for name, type in types.items()}
        )
        return build

    return add


class Weights:
    """Random weights of one program; `arrays` holds those that were asked for."""

    def __init__(self, program: Program, router: str, sizes: Sizes):
        self.arrays: dict[str, np.ndarray] = {}
        self.sizes = sizes
        self._program = program
        self._router = router

    def __call__(self, name: str, *shape: int, of: Callable = lambda x: x) -> Weight:
        """A weight of normal numbers, which make sums of its last extent about 1; `of` maps them."""
        rng = np.random.default_rng([ord(letter) for letter in self._router + name])
        array = of(rng.normal(0, 1, shape) / np.sqrt(shape[-1])).astype(np.float32)
        self.arrays[name] = array
        return self._program.weight(f"{self._router}.{name}", array)

    def gate(self, count: int | None = None) -> Weight:
        """The router's matrix; its logits are a few units apart."""
        return self("router", count or self.sizes.experts, self.sizes.hidden, of=lambda x: 3 * x)

    def projections(self, prefix: str = "", count: int | None = None, wide: int | None = None) -> tuple[Weight, ...]:
        """Gate, up and down of experts."""
        experts, hidden = count or self.sizes.experts, self.sizes.hidden
        wide = wide or self.sizes.intermediate
        return (
            self(f"{prefix}gate", experts, wide, hidden),
            self(f"{prefix}up", experts, wide, hidden),
            self(f"{prefix}down", experts, hidden, wide),
        )

    def shared(self, wide: int | None = None) -> tuple[Weight, ...]:
        """Gate, up and down of a network for all tokens."""
        hidden, wide = self.sizes.hidden, wide or self.sizes.intermediate
        return self("shared_gate", wide, hidden), self("shared_up", wide, hidden), self("shared_down", hidden, wide)


def network(x: Tensor, weights: tuple[Weight, ...], activation: Callable = ops.glu) -> Tensor:
    """One gated network for all tokens."""
    gate, up, down = weights
    return ops.linear(activation(ops.linear(x, gate), ops.linear(x, up)), down)


def relu_experts(x: Tensor, experts: Tensor, weights: Tensor, w: Weights) -> Tensor:
    """Experts of two projections: out(relu(in(x)))."""
    z = w.sizes
    row, perm, offsets = ops.assign(experts, z.experts)
    rows = ops.dispatch(x, perm, experts.shape[1])
    hidden = ops.glu(ops.grouped_matmul(rows, w("in", z.experts, z.intermediate, z.hidden), offsets), kind="relu")
    out = w("out", z.experts, z.hidden, z.intermediate)
    return ops.combine(ops.grouped_matmul(hidden, out, offsets), row, weights)


def every(x: Tensor, experts: int) -> Tensor:
    """All experts of each token, in order."""
    return ops.broadcast_to(ops.arange(experts), (x.shape[0], experts))


def slot(indices: Tensor, j: int) -> Tensor:
    return indices[:, j : j + 1]


def activation(kind: str, **clauses: float) -> Callable:
    """A kind of glu, of gate and up."""
    return lambda gate, up: ops.glu(gate, up, kind, **clauses)
