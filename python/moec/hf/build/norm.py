# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Root mean square normalisation (arXiv:1910.07467) and layer normalisation (arXiv:1607.06450)."""

from __future__ import annotations

from collections.abc import Callable

from moec.hf.build.scope import Scope
from moec.hf.spec import Norm
from moec.mlir.ops import elementwise, empty, generic, zero_filled
from moec.mlir.text import Value


def normalize(scope: Scope, hint: str, x: Value, role: str | None, norm: Norm) -> Value:
    """x / sqrt(mean(x^2) + eps) * weight + bias over the last dimension of x, [N, D] or [N, heads, D], in f32.

    Where the norm centers, x is less its mean; without a role there is no weight; without a bias, none is added.
    """
    body, rows, shape = scope.body, scope.rows, x.type.shape
    dims = "nd" if len(shape) == 2 else "nhd"
    outer = dims[:-1]

    def mean(total: Value) -> Value:
        return total / body.constant(float(shape[-1]), "f32", "width")

    def reciprocal(total: Value) -> Value:
        shifted = mean(total) + body.constant(norm.eps, "f32", "eps")
        return body.op("rsqrt", "f32", f"math.rsqrt {shifted} : f32")

    if norm.center:
        totals = (_sum(scope, "totals", x, dims, lambda e: e), outer)
        out = (empty(body, shape, rows), dims)
        x = elementwise(body, "centered", [(x, dims), totals], out, lambda e, total: e - mean(total))
    squares = _sum(scope, "squares", x, dims, lambda e: e * e)
    init = empty(body, shape[:-1], rows)
    scale = elementwise(body, "scale", [(squares, outer)], (init, outer), reciprocal)
    ins = [(x, dims), (scale, outer)]
    if role:
        ins.append((scope.weight(role), "d"))
    if norm.bias:
        ins.append((scope.weight(f"{role}_bias"), "d"))

    def element(e: Value, s: Value, w: Value | None = None, b: Value | None = None) -> Value:
        y = e * s if w is None else e * s * w
        return y if b is None else y + b

    return elementwise(body, hint, ins, (empty(body, shape, rows), dims), element)


def _sum(scope: Scope, hint: str, x: Value, dims: str, term: Callable[[Value], Value]) -> Value:
    """Sum of a function of x over its last dimension."""
    zeros = (zero_filled(scope.body, x.type.shape[:-1], scope.rows), dims[:-1])
    return generic(scope.body, hint, dims, [(x, dims)], zeros, lambda e, total: total + term(e))
