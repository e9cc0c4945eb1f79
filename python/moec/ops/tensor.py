# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors of a program, and elementwise operations on them: each is a linalg.generic, which the compiler fuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moec import ops
from moec.errors import Error
from moec.mlir import ops as linalg
from moec.mlir.text import Value
from moec.ops.scope import Extent, Shape, current, described, shown, type_of

_BINARY = {
    "add": {"f32": "arith.addf", "i32": "arith.addi"},
    "subtract": {"f32": "arith.subf", "i32": "arith.subi"},
    "multiply": {"f32": "arith.mulf", "i32": "arith.muli"},
    "divide": {"f32": "arith.divf"},
    "power": {"f32": "math.powf"},
    "maximum": {"f32": "arith.maximumf", "i32": "arith.maxsi"},
    "minimum": {"f32": "arith.minimumf", "i32": "arith.minsi"},
    "logical_and": {"i1": "arith.andi"},
    "logical_or": {"i1": "arith.ori"},
    "logical_xor": {"i1": "arith.xori"},
}
_COMPARISONS = {
    "less": {"f32": "arith.cmpf olt,", "i32": "arith.cmpi slt,"},
    "less_equal": {"f32": "arith.cmpf ole,", "i32": "arith.cmpi sle,"},
    "greater": {"f32": "arith.cmpf ogt,", "i32": "arith.cmpi sgt,"},
    "greater_equal": {"f32": "arith.cmpf oge,", "i32": "arith.cmpi sge,"},
    "equal": {"f32": "arith.cmpf oeq,", "i32": "arith.cmpi eq,"},
    "not_equal": {"f32": "arith.cmpf une,", "i32": "arith.cmpi ne,"},
}
"""What computes an element, by NumPy's name of the function and by dtype."""

_LETTERS = "ndhijklm"


def _operator(name: str, reflected: bool = False) -> Callable[[Operand, Any], Tensor]:
    def method(self: Operand, other: Any) -> Tensor:
        return binary(name, other, self) if reflected else binary(name, self, other)

    return method


class Operand:
    """What operators and functions take beside numbers: a `Tensor`, or a weight of the program."""

    __array_ufunc__ = None  # NumPy's arrays leave operators to us.
    __hash__ = object.__hash__

    __add__, __radd__ = _operator("add"), _operator("add", reflected=True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", reflected=True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", reflected=True)
    __truediv__, __rtruediv__ = _operator("divide"), _operator("divide", reflected=True)
    __pow__, __rpow__ = _operator("power"), _operator("power", reflected=True)
    __and__, __or__, __xor__ = _operator("logical_and"), _operator("logical_or"), _operator("logical_xor")
    __lt__, __le__, __gt__, __ge__ = map(_operator, ("less", "less_equal", "greater", "greater_equal"))
    __eq__, __ne__ = _operator("equal"), _operator("not_equal")

    def __neg__(self) -> Tensor:
        return unary("negative", self, "arith.negf")

    def __invert__(self) -> Tensor:
        return self ^ True

    def __bool__(self) -> bool:
        raise Error("expected a condition that does not depend on a tensor: use where")

    @property
    def T(self) -> Tensor:
        return ops.transpose(self)

    def __getitem__(self, key: Any) -> Tensor:
        return ops.shapes.index(self, key)

    def __matmul__(self, other: Operand) -> Tensor:
        return ops.matmul(self, other)

    def reshape(self, *shape: int) -> Tensor:
        return ops.reshape(self, shape)

    def astype(self, dtype: str) -> Tensor:
        return ops.astype(self, dtype)

    def here(self, op: str, role: str) -> Tensor:
        """The operand of an operation that is printed now.

        Raises
        ------
        Error
            If it belongs to another function, or to a region that has ended.
        """
        raise NotImplementedError


class Tensor(Operand):
    """A tensor that a program computes.

    Attributes
    ----------
    shape : tuple of int or str
        Extents; names stand for those that are only known when the program runs.
    dtype : str
        ``"f32"``, ``"i32"``, ``"i1"``, or ``"bf16"``, which is read as f32.
    """

    def __init__(self, value: Value, shape: Shape):
        self.value = value
        self.shape = shape
        self._scope = current()
        self._scope.knows(value, shape)

    def __repr__(self) -> str:
        return f"Tensor({described(self.shape, self.dtype)})"

    @property
    def dtype(self) -> str:
        return self.value.type.dtype

    def here(self, op: str, role: str) -> Tensor:
        if not self._scope.encloses(current()):
            raise Error(f"{op}: {role}: expected a tensor of this function or around this region, got another's")
        return self


@dataclass(frozen=True)
class Index:
    """A number that is only known when the program runs, such as an expert's."""

    value: Value


def operand(op: str, role: str, x: Any) -> Tensor:
    """A tensor that an operation takes.

    Raises
    ------
    Error
        If it is something else, or not of this function.
    """
    if isinstance(x, Operand):
        return x.here(op, role)
    hint = ": Program.weight or constant makes a tensor of it" if isinstance(x, np.ndarray) else ""
    raise Error(f"{op}: {role}: expected a tensor, got {type(x).__name__}{hint}")


def emit(op: str, hint: str, shape: Shape, dtype: str, text: str) -> Tensor:
    """Print an operation with one result."""
    return Tensor(current().body.op(hint, type_of(shape, dtype), f"{op} {text}"), shape)


def empty(shape: Shape, dtype: str = "f32") -> Value:
    """A tensor without contents."""
    scope, type = current(), type_of(shape, dtype)
    sizes = ", ".join(str(scope.size(extent)) for extent in shape if isinstance(extent, str))
    return scope.body.op("init", type, f"tensor.empty({sizes}) : {type}")


def scalar(op: str, number: Any, dtype: str) -> Value:
    """A constant to compute elements with.

    Raises
    ------
    Error
        If the dtype does not have the number.
    """
    kinds = {"f32": (float, int, np.floating, np.integer), "i32": (int, np.integer), "i1": (bool, np.bool_)}
    if not isinstance(number, kinds[dtype]) or (dtype != "i1" and isinstance(number, bool)):
        raise Error(f"{op}: expected a tensor or a number of type {dtype}, got {number!r}")
    value = float(number) if dtype == "f32" else str(int(number))
    return current().body.constant(value, dtype, "cst")


def letters(rank: int) -> str:
    """Names of the dimensions of a loop nest, outermost first."""
    return _LETTERS[:rank]


def elementwise(
    op: str, operands: Sequence[Tensor | Value], element: Callable[..., Value], dtype: str = "f32", shape: Shape = ()
) -> Tensor:
    """Compute each element of the result from those of tensors, broadcast as NumPy does, and from scalars.

    Parameters
    ----------
    element : callable
        Of elements in the order of the operands.
    dtype : str
        What it returns.
    shape : tuple of int or str
        What the result is broadcast to, beside the shapes of the tensors.

    Raises
    ------
    Error
        If the shapes do not go together.
    """
    tensors = [x for x in operands if isinstance(x, Tensor)]
    shape = broadcast(op, [*(tensor.shape for tensor in tensors), shape])
    dims = letters(len(shape))

    def scalars(*elements: Value) -> Value:
        given = iter(elements)
        return element(*(next(given) if isinstance(x, Tensor) else x for x in operands))

    ins = [(tensor.value, _indexing(tensor.shape, shape)) for tensor in tensors]
    out = (empty(shape, dtype), dims)
    return Tensor(linalg.elementwise(current().body, op, ins, out, scalars), shape)


def broadcast(op: str, shapes: Sequence[Shape]) -> Shape:
    """The shape that others are broadcast to.

    Raises
    ------
    Error
        If there is none.
    """
    rank = max(map(len, shapes), default=0)
    result: list[Extent] = [1] * rank
    for shape in shapes:
        for axis, extent in enumerate(shape, rank - len(shape)):
            if result[axis] == 1:
                result[axis] = extent
            elif extent not in (1, result[axis]):
                got = " and ".join(shown(shape) for shape in shapes if shape)
                raise Error(f"{op}: expected shapes that broadcast, got {got}")
    return tuple(result)


def unary(op: str, x: Any, text: str) -> Tensor:
    """An operation that has one form, on f32."""
    tensor = real(op, "x", x)
    return elementwise(op, [tensor], lambda e: e.body.op(op, "f32", f"{text} {e} : f32"))


def binary(op: str, a: Any, b: Any) -> Tensor:
    """An operation of two tensors of one dtype, or of a tensor and a number."""
    tensors = [operand(op, role, x) for role, x in (("a", a), ("b", b)) if isinstance(x, (Operand, np.ndarray))]
    if not tensors:
        raise Error(f"{op}: expected a tensor, got {a!r} and {b!r}")
    dtypes = [computed(tensor.dtype) for tensor in tensors]
    texts = (_BINARY | _COMPARISONS)[op]
    if dtypes[0] not in texts or dtypes[-1] != dtypes[0]:
        raise Error(f"{op}: expected tensors of one dtype, {' or '.join(texts)}, got {' and '.join(dtypes)}")
    dtype, given = dtypes[0], iter(tensors)
    operands = [next(given) if isinstance(x, Operand) else scalar(op, x, dtype) for x in (a, b)]
    result = "i1" if op in _COMPARISONS else dtype

    def element(a: Value, b: Value) -> Value:
        return a.body.op("e", result, f"{texts[dtype]} {a}, {b} : {dtype}")

    return elementwise(op, operands, element, result)


def real(op: str, role: str, x: Any) -> Tensor:
    """A tensor of f32 or bf16.

    Raises
    ------
    Error
        If it has another dtype.
    """
    tensor = operand(op, role, x)
    if computed(tensor.dtype) != "f32":
        raise Error(f"{op}: {role}: expected f32, got {tensor.dtype}")
    return tensor


def axis_of(op: str, x: Tensor, axis: int) -> int:
    """The number of an axis, which may be counted from the last.

    Raises
    ------
    Error
        If there is none.
    """
    if not -len(x.shape) <= axis < len(x.shape):
        raise Error(f"{op}: axis: expected one of {len(x.shape)} axes, got {axis}")
    return axis % len(x.shape)


def computed(dtype: str) -> str:
    """What elements of a dtype are computed in."""
    return "f32" if dtype == "bf16" else dtype


def _indexing(shape: Shape, result: Shape) -> str:
    """How an operand is indexed in the loops over the result."""
    dims = letters(len(result))[len(result) - len(shape) :]
    wanted = result[len(result) - len(shape) :]
    return "".join("0" if extent == 1 != full else d for d, extent, full in zip(dims, shape, wanted))
