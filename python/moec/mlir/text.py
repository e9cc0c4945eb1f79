# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MLIR as text: types, values, and the body of a function with an insertion point."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Union


@dataclass(frozen=True)
class Shaped:
    """Type of a tensor or memref; an extent that is only known when the program runs is None."""

    shape: tuple[int | None, ...]
    dtype: str = "f32"
    container: str = "tensor"

    def __str__(self) -> str:
        extents = "".join("?x" if extent is None else f"{extent}x" for extent in self.shape)
        return f"{self.container}<{extents}{self.dtype}>"


Type = Union[Shaped, str]
"""A shaped type, or the name of a scalar type."""


@dataclass(frozen=True)
class Value:
    """An SSA value; prints as its name.

    It knows the body that it stands in, so that arithmetic on scalars of type f32 reads as arithmetic.
    """

    name: str
    type: Type
    body: Body = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.name

    def __add__(self, other: Value) -> Value:
        return self._arith("add", other)

    def __sub__(self, other: Value) -> Value:
        return self._arith("sub", other)

    def __mul__(self, other: Value) -> Value:
        return self._arith("mul", other)

    def __truediv__(self, other: Value) -> Value:
        return self._arith("div", other)

    def _arith(self, op: str, other: Value) -> Value:
        return self.body.op(op, self.type, f"arith.{op}f {self}, {other} : {self.type}")


def names(values: Sequence[Value]) -> str:
    """The names, as a list of operands is written."""
    return ", ".join(map(str, values))


def types(values: Sequence[Value]) -> str:
    """The types, as a list of operands is written."""
    return ", ".join(str(value.type) for value in values)


@dataclass(frozen=True)
class Argument:
    """An argument or result of a function; `dims` names its dimensions if it is one that users see."""

    name: str
    type: Type
    dims: tuple[int | str, ...] | None = None

    def attributes(self) -> str:
        if self.dims is None:
            return ""
        dims = ", ".join(f'"{dim}"' if isinstance(dim, str) else str(dim) for dim in self.dims)
        state = ", moe.state" if str(self.type).startswith("memref") else ""
        return f' {{moe.name = "{self.name}", moe.dims = [{dims}]{state}}}'


class Body:
    """The operations of one function, in the order in which they are asked for.

    Values are named after hints; a hint that comes again gets a number. Names end with their region, except those of
    constants, which stand at the top, each once.

    Attributes
    ----------
    arguments : dict of str to Value
        The function's arguments.
    """

    def __init__(self, arguments: list[Argument]):
        self._signature = arguments
        self._lines: list[str] = []
        self._indent = "    "
        self._visible: set[str] = set()
        self._used: set[str] = set()
        self._constants: dict[tuple[str, str], Value] = {}
        self.arguments = {argument.name: self.value(argument.name, argument.type) for argument in arguments}

    def value(self, hint: str, type: Type) -> Value:
        """A new value; the caller prints the operation that defines it."""
        return Value(self._fresh(hint, self._visible), type, self)

    def line(self, text: str) -> None:
        """An operation without result."""
        self._lines.append(self._indent + text)

    def op(self, hint: str, type: Type, text: str) -> Value:
        """An operation with one result."""
        result = self.value(hint, type)
        self.line(f"{result} = {text}")
        return result

    @contextmanager
    def region(self, head: str | Callable[[], str], tail: str = "}") -> Iterator[None]:
        """A region that holds what is asked for inside the ``with``.

        Parameters
        ----------
        head : str or callable
            What stands before the region; a callable says it when the region is complete.
        tail : str
            What closes it; nothing if it is empty.
        """
        start, indent, visible = len(self._lines), self._indent, self._visible.copy()
        self._indent += "  "
        yield
        self._indent, self._visible = indent, visible.union(map(str, self._constants.values()))
        self._lines.insert(start, f"{indent}{head if isinstance(head, str) else head()} {{")
        if tail:
            self.line(tail)

    def constant(self, literal: float | str, type: Type, hint: str) -> Value:
        """A constant, given as a number or as the text of an attribute."""
        text = float_literal(literal) if isinstance(literal, float) else str(literal)
        key = (text, str(type))
        if key not in self._constants:
            self._constants[key] = Value(self._fresh(hint, self._used), type, self)
        return self._constants[key]

    def index(self, number: int) -> Value:
        """A constant of type index."""
        return self.constant(str(number), "index", f"c{number}")

    def function(self, name: str, results: Sequence[tuple[Argument, Value]], private: bool = False) -> str:
        """The text of the function, which returns values."""
        head = f"  func.func {'private ' if private else ''}@{name}("
        arguments = [f"%{a.name}: {a.type}{a.attributes()}" for a in self._signature]
        signature = (",\n" + " " * len(head)).join(arguments)
        returned = (",\n" + " " * 10).join(f"{result.type}{result.attributes()}" for result, _ in results)
        values = [value for _, value in results]
        constants = [f"    {v} = arith.constant {text} : {v.type}" for (text, _), v in self._constants.items()]
        return "\n".join(
            [
                f"{head}{signature})\n      -> ({returned}) {{",
                *constants,
                *self._lines,
                f"    return {names(values)} : {types(values)}" if values else "    return",
                "  }",
            ]
        )

    def _fresh(self, hint: str, taken: set[str]) -> str:
        """A name that is not taken."""
        candidates = itertools.chain([f"%{hint}"], (f"%{hint}_{number}" for number in itertools.count(1)))
        name = next(name for name in candidates if name not in taken)
        self._visible.add(name)
        self._used.add(name)
        return name


def float_literal(number: float) -> str:
    """Shortest decimal text of a number, with the point that MLIR wants; bits of f32 if it is not finite."""
    if not math.isfinite(number):
        return f"0x{struct.unpack('<I', struct.pack('<f', number))[0]:08X}"
    mantissa, mark, exponent = repr(float(number)).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + mark + exponent
