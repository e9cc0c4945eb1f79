# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions on tensors that are named as in NumPy, and the usual activations."""

from __future__ import annotations

from typing import Any

from moec.errors import Error
from moec.mlir import ops as linalg
from moec.mlir import scalar as scalars
from moec.mlir.text import Value
from moec.ops.scope import Shape, current, shown
from moec.ops.tensor import (
    Operand,
    Tensor,
    axis_of,
    binary,
    computed,
    elementwise,
    empty,
    letters,
    operand,
    real,
    scalar,
    unary,
)


def exp(x: Operand) -> Tensor:
    """e to the power of x."""
    return unary("exp", x, "math.exp")


def log(x: Operand) -> Tensor:
    """Natural logarithm."""
    return unary("log", x, "math.log")


def sqrt(x: Operand) -> Tensor:
    """Square root."""
    return unary("sqrt", x, "math.sqrt")


def tanh(x: Operand) -> Tensor:
    """Hyperbolic tangent."""
    return unary("tanh", x, "math.tanh")


def erf(x: Operand) -> Tensor:
    """Error function."""
    return unary("erf", x, "math.erf")


def abs(x: Operand) -> Tensor:
    """Absolute value."""
    return unary("abs", x, "math.absf")


def sigmoid(x: Operand) -> Tensor:
    """1 / (1 + exp(-x))."""
    return elementwise("sigmoid", [real("sigmoid", "x", x)], scalars.sigmoid)


def softplus(x: Operand) -> Tensor:
    """log(1 + exp(x)), without overflow."""
    return elementwise("softplus", [real("softplus", "x", x)], scalars.softplus)


def relu(x: Operand) -> Tensor:
    """max(x, 0)."""
    return maximum(x, 0)


def silu(x: Operand) -> Tensor:
    """x * sigmoid(x)."""
    return x * sigmoid(x)


def gelu(x: Operand) -> Tensor:
    """x * (1 + erf(x / sqrt(2))) / 2 (arXiv:1606.08415)."""
    return x * (0.5 + 0.5 * erf(x * 0.5**0.5))


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of each two elements; NaN if one of them is."""
    return binary("maximum", a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of each two elements; NaN if one of them is."""
    return binary("minimum", a, b)


def where(condition: Operand, a: Any, b: Any) -> Tensor:
    """a where the condition holds, b elsewhere.

    Raises
    ------
    Error
        If the condition is not of i1, or a and b are both numbers or of different dtypes.
    """
    condition = operand("where", "condition", condition)
    if condition.dtype != "i1":
        raise Error(f"where: condition: expected i1, got {condition.dtype}")
    tensors = [operand("where", role, x) for role, x in (("a", a), ("b", b)) if isinstance(x, Operand)]
    dtypes = {computed(tensor.dtype) for tensor in tensors}
    if len(dtypes) != 1:
        raise Error(f"where: expected a and b of one dtype, at least one a tensor, got {a!r} and {b!r}")
    (dtype,) = dtypes
    given = iter(tensors)
    values = [next(given) if isinstance(x, Operand) else scalar("where", x, dtype) for x in (a, b)]

    def element(c: Value, a: Value, b: Value) -> Value:
        return c.body.op("e", dtype, f"arith.select {c}, {a}, {b} : {dtype}")

    return elementwise("where", [condition, *values], element, dtype)


def astype(x: Operand, dtype: str) -> Tensor:
    """Numbers as ``"f32"``, or conditions as ``"i32"`` or ``"f32"``, 1 where they hold."""
    x = operand("astype", "x", x)
    if x.dtype == dtype:
        return x
    texts = {("i32", "f32"): "arith.sitofp", ("i1", "f32"): "arith.uitofp", ("i1", "i32"): "arith.extui"}
    if (x.dtype, dtype) not in texts:
        raise Error(f"astype: expected i32 to f32, i1 to f32 or i1 to i32, got {x.dtype} to {dtype}")

    def element(e: Value) -> Value:
        return e.body.op("e", dtype, f"{texts[x.dtype, dtype]} {e} : {x.dtype} to {dtype}")

    return elementwise("astype", [x], element, dtype)


def sum(x: Operand, axis: int, keepdims: bool = False) -> Tensor:
    """Sum over an axis, of f32 or i32."""
    return _reduced("sum", x, axis, keepdims, {"f32": ("arith.addf", 0.0), "i32": ("arith.addi", 0)})


def max(x: Operand, axis: int, keepdims: bool = False) -> Tensor:
    """Largest element along an axis; NaN if one is."""
    return _reduced("max", x, axis, keepdims, {"f32": ("arith.maximumf", -float("inf"))})


def min(x: Operand, axis: int, keepdims: bool = False) -> Tensor:
    """Smallest element along an axis; NaN if one is."""
    return _reduced("min", x, axis, keepdims, {"f32": ("arith.minimumf", float("inf"))})


def matmul(a: Operand, b: Operand) -> Tensor:
    """[N, K] times [K, M]. `linear` is the fast product with a weight.

    Raises
    ------
    Error
        If the shapes are others.
    """
    a, b = real("matmul", "a", a), real("matmul", "b", b)
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0]:
        raise Error(f"matmul: expected [N, K] and [K, M], got {shown(a.shape)} and {shown(b.shape)}")
    shape = (a.shape[0], b.shape[1])
    ins = [(a.value, "nk"), (b.value, "km")]
    out = (_filled("matmul", shape, "f32", 0), "nm")
    value = linalg.generic(current().body, "matmul", "nmk", ins, out, lambda a, b, total: total + a * b)
    return Tensor(value, shape)


def full(shape: Shape, number: float | int | bool) -> Tensor:
    """A tensor that holds one number everywhere, f32, i32 or i1; names in the shape are those of arguments."""
    dtype = {bool: "i1", int: "i32"}.get(type(number), "f32")
    return Tensor(_filled("full", shape, dtype, number), shape)


def _filled(op: str, shape: Shape, dtype: str, number: Any) -> Value:
    number, init = scalar(op, number, dtype), empty(shape, dtype)
    text = f"linalg.fill ins({number} : {dtype}) outs({init} : {init.type}) -> {init.type}"
    return current().body.op("filled", init.type, text)


def _reduced(op: str, x: Operand, axis: int, keepdims: bool, texts: dict[str, tuple[str, Any]]) -> Tensor:
    x = operand(op, "x", x)
    axis, dtype = axis_of(op, x, axis), computed(x.dtype)
    if dtype not in texts:
        raise Error(f"{op}: x: expected {' or '.join(texts)}, got {dtype}")
    text, start = texts[dtype]
    dims = letters(len(x.shape))
    kept = [number for number in range(len(dims)) if number != axis]
    shape = tuple(x.shape[number] for number in kept)
    out = (_filled(op, shape, dtype, start), "".join(dims[number] for number in kept))

    def element(e: Value, total: Value) -> Value:
        return e.body.op("e", dtype, f"{text} {e}, {total} : {dtype}")

    result = Tensor(linalg.generic(current().body, op, dims, [(x.value, dims)], out, element), shape)
    return result[(slice(None),) * axis + (None,)] if keepdims else result
