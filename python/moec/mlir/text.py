# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MLIR as text: types, values, and the body of a function with an insertion point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
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

    Values are named after hints; a hint that comes again gets a number. Constants stand at the top, each once, and take
    hints that no other value takes.

    Attributes
    ----------
    arguments : dict of str to Value
        The function's arguments.
    """

    def __init__(self, arguments: list[Argument]):
        self._signature = arguments
        self._lines: list[str] = []
        self._indent = "    "
        self._uses: Counter[str] = Counter()
        self._constants: dict[tuple[str, str], Value] = {}
        self._constant_uses: Counter[str] = Counter()
        self.arguments = {argument.name: self.value(argument.name, argument.type) for argument in arguments}

    def value(self, hint: str, type: Type) -> Value:
        """A new value; the caller prints the operation that defines it."""
        return Value(_fresh(hint, self._uses), type, self)

    def line(self, text: str) -> None:
        """An operation without result."""
        self._lines.append(self._indent + text)

    def op(self, hint: str, type: Type, text: str) -> Value:
        """An operation with one result."""
        result = self.value(hint, type)
        self.line(f"{result} = {text}")
        return result

    @contextmanager
    def region(self, head: str, tail: str = "}") -> Iterator[None]:
        """A region that holds what is asked for inside the ``with``; its names end with it."""
        self.line(head + " {")
        outer_indent, outer_uses = self._indent, self._uses.copy()
        self._indent += "  "
        yield
        self._indent, self._uses = outer_indent, outer_uses
        self.line(tail)

    def constant(self, literal: float | str, type: Type, hint: str) -> Value:
        """A constant, given as a number or as the text of an attribute."""
        text = float_literal(literal) if isinstance(literal, float) else str(literal)
        key = (text, str(type))
        if key not in self._constants:
            self._constants[key] = Value(_fresh(hint, self._constant_uses), type, self)
        return self._constants[key]

    def index(self, number: int) -> Value:
        """A constant of type index."""
        return self.constant(str(number), "index", f"c{number}")

    def function(self, name: str, results: Sequence[tuple[Argument, Value]], private: bool = False) -> str:
        """The text of the function, which returns values."""
        head = f"  func.func {'private ' if private else ''}@{name}("
        arguments = [f"%{a.name}: {a.type}{a.attributes()}" for a in self._signature]
        signature = (",\n" + " " * len(head)).join(arguments)
        returned = [f"{result.type}{result.attributes()}" for result, _ in results]
        values = [value for _, value in results]
        constants = [f"    {v} = arith.constant {text} : {v.type}" for (text, _), v in self._constants.items()]
        return "\n".join(
            [
                f"{head}{signature})\n      -> ({', '.join(returned)}) {{",
                *constants,
                *self._lines,
                f"    return {names(values)} : {types(values)}",
                "  }",
            ]
        )


def float_literal(number: float) -> str:
    """Shortest decimal text of a number, with the point that MLIR wants."""
    mantissa, mark, exponent = repr(float(number)).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + mark + exponent


def _fresh(hint: str, uses: Counter[str]) -> str:
    number = uses[hint]
    uses[hint] += 1
    return f"%{hint}_{number}" if number else f"%{hint}"
