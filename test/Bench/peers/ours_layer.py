# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""moe-mlir: the layer as a graph, compiled to a package."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from ours_compile import compile_graph
from worker import serve

import moec

GRAPH = """
!rows = tensor<?x{hidden}xf32>
!logits = tensor<?x{experts}xf32>
!indices = tensor<?x{top_k}xi32>
!weights = tensor<?x{top_k}xf32>
!offsets = tensor<{ends}xi32>
!inner = tensor<?x{inner}xf32>
!router = tensor<{experts}x{hidden}x{type}>
!up = tensor<{experts}x{inner}x{hidden}x{type}>
!down = tensor<{experts}x{hidden}x{inner}x{type}>

moe.parameter @router : !router from "router"
{parameters}
func.func @layer(%x: !rows {{moe.dims = ["T", {hidden}]}}, %copy: tensor<1xi32>)
    -> (!rows {{moe.dims = ["T", {hidden}]}}) {{
  %c0 = arith.constant 0 : index
  %number = tensor.extract %copy[%c0] : tensor<1xi32>
  %c = arith.index_cast %number : i32 to index
  %router = moe.load_parameter @router : !router
  %gate = moe.load_parameter @gate[%c] : !up
  %up = moe.load_parameter @up[%c] : !up
  %down = moe.load_parameter @down[%c] : !down
  %t = tensor.dim %x, %c0 : !rows
  %init0 = tensor.empty(%t) : !logits
  %logits = moe.grouped_matmul ins(%x, %router : !rows, !router) outs(%init0 : !logits) -> !logits
  %scores = moe.score softmax %logits : !logits
  %idx = moe.select %scores top {top_k} : !logits
  %w = moe.weigh %scores at %idx norm sum : !logits, !indices
  %row, %perm, %offsets = moe.assign %idx into {experts} : !indices
  %xs = moe.dispatch %x by %perm top {top_k} : !rows, tensor<?xi32>
  %n = tensor.dim %xs, %c0 : !rows
  %init1 = tensor.empty(%n) : !inner
  %g = moe.grouped_matmul ins(%xs, %gate : !rows, !up) offsets(%offsets : !offsets) outs(%init1 : !inner) -> !inner
  %u = moe.grouped_matmul ins(%xs, %up : !rows, !up) offsets(%offsets : !offsets) outs(%init1 : !inner) -> !inner
  %h = moe.glu swiglu %g, %u : !inner
  %init2 = tensor.empty(%n) : !rows
  %ys = moe.grouped_matmul ins(%h, %down : !inner, !down) offsets(%offsets : !offsets) outs(%init2 : !rows) -> !rows
  %y = moe.combine %ys, %row, %w : !rows, !indices, !weights
{shared}  return %{result} : !rows
}}
"""

SHARED = """
  %shared_gate = moe.load_parameter @shared_gate[%c] : tensor<{shared}x{hidden}x{type}>
  %shared_up = moe.load_parameter @shared_up[%c] : tensor<{shared}x{hidden}x{type}>
  %shared_down = moe.load_parameter @shared_down[%c] : tensor<{hidden}x{shared}x{type}>
  %init3 = tensor.empty(%t) : tensor<?x{shared}xf32>
  %sg = moe.grouped_matmul ins(%x, %shared_gate : !rows, tensor<{shared}x{hidden}x{type}>)
          outs(%init3 : tensor<?x{shared}xf32>) -> tensor<?x{shared}xf32>
  %su = moe.grouped_matmul ins(%x, %shared_up : !rows, tensor<{shared}x{hidden}x{type}>)
          outs(%init3 : tensor<?x{shared}xf32>) -> tensor<?x{shared}xf32>
  %sh = moe.glu swiglu %sg, %su : tensor<?x{shared}xf32>
  %init4 = tensor.empty(%t) : !rows
  %sy = moe.grouped_matmul ins(%sh, %shared_down : tensor<?x{shared}xf32>, tensor<{hidden}x{shared}x{type}>)
          outs(%init4 : !rows) -> !rows
  %sum = linalg.add ins(%y, %sy : !rows, !rows) outs(%init4 : !rows) -> !rows
"""


def graph(shape, dtype: str, copies: int) -> str:
    """The layer in MLIR: an argument says which of the copies of its weights to use."""
    up, down = (shape.inner, shape.hidden), (shape.hidden, shape.inner)
    extents = {name: (shape.experts, *size) for name, size in {"gate": up, "up": up, "down": down}.items()}
    if shape.shared:
        up, down = (shape.shared, shape.hidden), (shape.hidden, shape.shared)
        extents |= {"shared_gate": up, "shared_up": up, "shared_down": down}
    parameters = []
    for name, sizes in extents.items():
        type, dims = "x".join(map(str, [*sizes, dtype])), ", ".join(f"d{i}" for i in range(len(sizes)))
        view = f"view of @{name}.one by affine_map<(c, {dims}) -> ({dims})>"
        parameters += [
            f'moe.parameter @{name}.one : tensor<{type}> from "{name}"',
            f"moe.parameter @{name} : tensor<{copies}x{type}> {view}",
        ]
    sizes = vars(shape) | {"type": dtype, "ends": shape.experts + 1}
    return GRAPH.format(
        **sizes | {"shared": SHARED.format(**sizes) if shape.shared else ""},
        parameters="\n".join(parameters),
        result="sum" if shape.shared else "y",
    )


class Layer:
    """A package; a variant is an ISA level, or `best` for the loader's choice."""

    def __init__(self, job):
        dtype = "f32" if job.format == "f32" else "bf16"
        package = Path(job.scratch, "layer.moe")
        text = graph(job.shape, dtype, job.copies)
        compile_graph(text, Path(job.weights, dtype), job.format, job.compute, package)
        self._load = functools.cache(
            lambda variant: moec.load(package, job.threads, None if variant == "best" else variant)
        )

    def bind(self, rows):
        return rows

    def run(self, rows, copy, variant):
        return self._load(variant).layer(rows, np.array([copy], np.int32))

    def result(self, returned):
        return returned


if __name__ == "__main__":
    serve(Layer)
