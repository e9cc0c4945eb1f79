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
    """log(1 + exp(x)), as max(x, 0) + log(1 + u) with u = exp(-|x|), which does not overflow.

    log(1 + u) is log(w) * u / (w - 1) for w = 1 + u rounded, and u where w is 1: the rounding of w cancels (Higham,
    Accuracy and Stability of Numerical Algorithms, section 1.14.1). The compiler takes math.log1p for the log of w.
    """
    body, zero, one = x.body, x.body.constant(0.0, "f32", "zero"), x.body.constant(1.0, "f32", "one")
    size = body.op("size", "f32", f"math.absf {x} : f32")
    negated = body.op("negated", "f32", f"arith.negf {size} : f32")
    u = body.op("exp", "f32", f"math.exp {negated} : f32")
    w = u + one
    rest = body.op("log", "f32", f"math.log {w} : f32") * u / (w - one)
    is_one = body.op("is_one", "i1", f"arith.cmpf oeq, {w}, {one} : f32")
    rest = body.op("rest", "f32", f"arith.select {is_one}, {u}, {rest} : f32")
    return body.op("positive", "f32", f"arith.maximumf {x}, {zero} : f32") + rest


def softcap(x: Value, bound: float) -> Value:
    """bound tanh(x / bound)."""
    limit = x.body.constant(bound, "f32", "softcap")
    return x.body.op("tanh", "f32", f"math.tanh {x / limit} : f32") * limit
