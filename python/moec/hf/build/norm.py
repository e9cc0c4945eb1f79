# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Root mean square normalisation (arXiv:1910.07467)."""

from __future__ import annotations

from moec.mlir.ops import elementwise, empty, generic, zero_filled
from moec.mlir.text import Body, Value


def rms_norm(body: Body, hint: str, x: Value, weight: Value, eps: float, rows: Value) -> Value:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension of x, [N, D] or [N, heads, D], in f32."""
    shape = x.type.shape
    dims = "nd" if len(shape) == 2 else "nhd"
    outer = dims[:-1]
    zeros = (zero_filled(body, shape[:-1], rows), outer)
    squares = generic(body, "squares", dims, [(x, dims)], zeros, lambda e, total: total + e * e)

    def reciprocal(total: Value) -> Value:
        mean = total / body.constant(float(shape[-1]), "f32", "width")
        shifted = mean + body.constant(eps, "f32", "eps")
        return body.op("rsqrt", "f32", f"math.rsqrt {shifted} : f32")

    init = empty(body, shape[:-1], rows)
    scale = elementwise(body, "scale", [(squares, outer)], (init, outer), reciprocal)
    ins = [(x, dims), (scale, outer), (weight, "d")]
    return elementwise(body, hint, ins, (empty(body, shape, rows), dims), lambda e, s, w: e * s * w)
