# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MLIR as text: types, values, and the body of a function with an insertion point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Shaped:
    """Type of a tensor or memref; an extent that is only known when the program runs is None."""

    shape: tuple[int | None, ...]
    dtype: str = "f32"
    container: str = "tensor"

    def __str__(self) -> str:
        extents = "".join("?x" if extent is None else f"{extent}x" for extent in self.shape)
        return f"{self.container}<{extents}{self.dtype}>"


Type = Shaped | str
"""A shaped type, or the name of a scalar type."""


@dataclass(frozen=True)
class Value:
    """An SSA value; prints as its name.

    Scalars of type f32 know the body that they stand in, so that arithmetic on them reads as arithmetic.
    """

    name: str
    type: Type
    body: Body = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.name

    def __add__(self, other: Value) -> Value:
        return self._arith("addf", other)

    def __sub__(self, other: Value) -> Value:
        return self._arith("subf", other)

    def __mul__(self, other: Value) -> Value:
        return self._arith("mulf", other)

    def __truediv__(self, other: Value) -> Value:
        return self._arith("divf", other)

    def _arith(self, op: str, other: Value) -> Value:
        return self.body.op(op[:-1], self.type, f"arith.{op} {self}, {other} : {self.type}")


def types(values: list[Value]) -> str:
    return ", ".join(str(value.type) for value in values)


def names(values: list[Value]) -> str:
    return ", ".join(map(str, values))


@dataclass(frozen=True)
class Argument:
    """An argument of a function; `dims` is what its dimensions are called, for a function that users call."""

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
    """The operations of one function.

    Values are named after a hint; a hint that comes again gets a number. Constants stand at the top, each once.

    Parameters
    ----------
    arguments : list of Argument
        The function's arguments; their values are in `arguments` by name.
    """

    def __init__(self, arguments: list[Argument]):
        self._lines: list[str] = []
        self._indent = "    "
        self._uses: Counter[str] = Counter()
        self._constants: dict[tuple[str, str], Value] = {}
        self._signature = arguments
        self.arguments = {argument.name: self.value(argument.name, argument.type) for argument in arguments}

    def value(self, hint: str, type: Type) -> Value:
        """A new value that the caller defines."""
        number = self._uses[hint]
        self._uses[hint] += 1
        return Value(f"%{hint}_{number}" if number else f"%{hint}", type, self)

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
        """An operation whose last region is what is printed inside the ``with``."""
        self.line(head + " {")
        self._indent += "  "
        yield
        self._indent = self._indent[:-2]
        self.line(tail)

    def constant(self, literal: float | int | str, type: Type, hint: str = "cst") -> Value:
        """A number, or the text of an attribute."""
        if isinstance(literal, float):
            literal = float_literal(literal)
        if type == "index":
            hint = f"c{literal}"
        key = str(literal), str(type)
        if key not in self._constants:
            self._constants[key] = self.value(hint, type)
        return self._constants[key]

    def index(self, number: int) -> Value:
        return self.constant(number, "index")

    def function(self, name: str, result: Argument, value: Value, private: bool = False) -> str:
        """The text of the function that returns a value."""
        head = f"  func.func {'private ' if private else ''}@{name}("
        arguments = [f"%{a.name}: {a.type}{a.attributes()}" for a in self._signature]
        constants = [f"    {v} = arith.constant {text} : {v.type}" for (text, _), v in self._constants.items()]
        return "\n".join(
            [
                head + (",\n" + " " * len(head)).join(arguments) + f") -> ({result.type}{result.attributes()}) {{",
                *constants,
                *self._lines,
                f"    return {value} : {value.type}",
                "  }",
            ]
        )


def float_literal(number: float) -> str:
    """Shortest decimal text of a number, with the point that MLIR wants."""
    mantissa, exponent_mark, exponent = repr(float(number)).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + exponent_mark + exponent
