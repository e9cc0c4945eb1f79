# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions of one f32, inside the body of an operation on tensors."""

from __future__ import annotations

from moec.mlir.text import Value


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x))."""
    one = x.body.constant(1.0, "f32", "one")
    negated = x.body.op("negated", "f32", f"arith.negf {x} : f32")
    return one / (one + x.body.op("exp", "f32", f"math.exp {negated} : f32"))


def softplus(x: Value) -> Value:
    """log(1 + exp(x)), as max(x, 0) + log1p(exp(-|x|)), which does not overflow."""
    body, zero = x.body, x.body.constant(0.0, "f32", "zero")
    size = body.op("size", "f32", f"math.absf {x} : f32")
    negated = body.op("negated", "f32", f"arith.negf {size} : f32")
    rest = body.op("rest", "f32", f"math.log1p {body.op('exp', 'f32', f'math.exp {negated} : f32')} : f32")
    return body.op("positive", "f32", f"arith.maximumf {x}, {zero} : f32") + rest


def softcap(x: Value, bound: float) -> Value:
    """bound tanh(x / bound)."""
    limit = x.body.constant(bound, "f32", "softcap")
    return x.body.op("tanh", "f32", f"math.tanh {x / limit} : f32") * limit
