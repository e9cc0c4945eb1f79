# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Root mean square normalisation (arXiv:1910.07467)."""

from __future__ import annotations

from moec.hf.build.ops import elementwise, empty, generic, zeros
from moec.hf.build.text import Body, Value


def rms_norm(body: Body, hint: str, x: Value, weight: Value, eps: float, rows: Value) -> Value:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension of x, [N, D] or [N, heads, D], in f32."""
    shape = x.type.shape
    dims = "nhd"[: len(shape) - 1] + "d"
    outer = dims[:-1]
    squares = zeros(body, shape[:-1], rows)
    (squares,) = generic(
        body, "squares", dims, [(x, dims)], [(squares, outer)], lambda x, total: total + x * x, reduced="d"
    )

    def reciprocal(total: Value) -> Value:
        mean = total / body.constant(float(shape[-1]), "f32", "width")
        shifted = mean + body.constant(eps, "f32", "eps")
        return body.op("rsqrt", "f32", f"math.rsqrt {shifted} : f32")

    scale = elementwise(body, "scale", outer, [(squares, outer)], empty(body, shape[:-1], rows), reciprocal)
    ins = [(x, dims), (scale, outer), (weight, "d")]
    return elementwise(body, hint, dims, ins, empty(body, shape, rows), lambda x, s, w: x * s * w)
