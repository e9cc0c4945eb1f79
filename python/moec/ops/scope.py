# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where operations are printed: a function or region under construction, and the extents that it knows by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Union

from moec.errors import Error
from moec.mlir.text import Body, Shaped, Value

Extent = Union[int, str]
"""Extent of a dimension: a number, or a name, perhaps with a factor or summand: ``"T"``, ``"T*4"``, ``"B+1"``."""

Shape = tuple[Extent, ...]

_current: ContextVar[Scope | None] = ContextVar("scope", default=None)


class Scope:
    """A function, or a region inside one, which may use what is around it.

    Parameters
    ----------
    body : Body
        The function.
    outer : Scope or None
        What a region stands in.
    """

    def __init__(self, body: Body, outer: Scope | None = None):
        self.body = body
        self._outer = outer
        self._values: dict[Hashable, Value] = {}
        self._sources: dict[Extent, tuple[Value, int]] = {}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Operations go here inside the ``with``."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def encloses(self, other: Scope) -> bool:
        """Whether the other may use values of this one."""
        return self in other._chain()

    def knows(self, value: Value, shape: Shape) -> None:
        """Remember that extents can be read from a tensor."""
        for axis, extent in enumerate(shape):
            self._sources.setdefault(extent, (value, axis))

    def size(self, extent: Extent) -> Value | int:
        """An extent as an operand."""
        if isinstance(extent, int):
            return extent

        def read() -> Value:
            sources = [scope._sources[extent] for scope in self._chain() if extent in scope._sources]
            if not sources:
                raise Error(f"expected an extent of a tensor that is there, got {extent}")
            tensor, axis = sources[0]
            hint = extent.lower() if re.fullmatch("[A-Za-z]+", extent) else "n"
            return self.body.op(hint, "index", f"tensor.dim {tensor}, {self.body.index(axis)} : {tensor.type}")

        return self.once(extent, read)

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """A value that is made here unless it is there already, here or around."""
        for scope in self._chain():
            if key in scope._values:
                return scope._values[key]
        return self._values.setdefault(key, make())

    def _chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope._outer


def current() -> Scope:
    """Where operations go.

    Raises
    ------
    Error
        Outside a function of a program.
    """
    scope = _current.get()
    if scope is None:
        raise Error("expected an operation inside a function of a Program, got one outside")
    return scope


def type_of(shape: Shape, dtype: str) -> Shaped:
    """The type of a tensor."""
    return Shaped(tuple(extent if isinstance(extent, int) else None for extent in shape), dtype)


def shown(shape: Sequence[Extent]) -> str:
    """A shape as messages show it: ``[T, 64]``."""
    return f"[{', '.join(map(str, shape))}]"


def described(shape: Shape, dtype: str) -> str:
    """A type as messages show it: ``f32 [T, 64]``."""
    return f"{dtype} {shown(shape)}"


def times(extent: Extent, factor: int) -> Extent:
    """extent * factor."""
    if isinstance(extent, int):
        return extent * factor
    name, _, number = extent.partition("*")
    factor *= int(number or 1)
    return name if factor == 1 else f"{name}*{factor}"


def quotient(extent: Extent, divisor: int) -> Extent | None:
    """extent / divisor; None if it leaves a rest for some value of the name."""
    name, _, number = ("", "*", str(extent)) if isinstance(extent, int) else extent.partition("*")
    factor, rest = divmod(int(number or 1), divisor) if divisor > 0 else (0, 1)
    if rest:
        return None
    return times(name, factor) if name else factor


def plus(extent: Extent, summand: int) -> Extent:
    """extent + summand."""
    if isinstance(extent, int):
        return extent + summand
    name, _, number = extent.partition("+")
    summand += int(number or 0)
    return name if summand == 0 else f"{name}+{summand}"
