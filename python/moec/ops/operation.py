# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""An operation of the moe dialect under construction: checks its operands and prints it."""

from __future__ import annotations

from typing import Any

from moec.errors import Error
from moec.mlir.text import float_literal, types
from moec.ops.scope import Extent, Shape, described, plus
from moec.ops.tensor import Tensor, emit, operand


class Operation:
    """One operation; it learns what the letters of its documentation stand for from its operands.

    Parameters
    ----------
    name : str
        Its mnemonic.
    """

    def __init__(self, name: str):
        self.name = name
        self._extents: dict[str, Extent] = {}

    def __getitem__(self, letter: str) -> Extent:
        """What a letter stands for."""
        return self._extents[letter]

    def __setitem__(self, letter: str, extent: Extent) -> None:
        self._extents[letter] = extent

    def operand(self, role: str, x: Any, dtype: str, *extents: str) -> Tensor:
        """An operand.

        Parameters
        ----------
        role : str
            Its name in the documentation.
        dtype : str
            One, or several with ``|`` between them.
        extents : str
            Letters, or ``"E+1"``; one that is new stands for the operand's extent from now on.

        Raises
        ------
        Error
            If it has another dtype or shape.
        """
        tensor = operand(self.name, role, x)
        wanted = tuple(self._wanted(extent, actual) for extent, actual in zip(extents, tensor.shape))
        if tensor.dtype not in dtype.split("|") or len(tensor.shape) != len(extents) or wanted != tensor.shape:
            shape = tuple(self._wanted(extent, None) for extent in extents)
            self.fail(role, described(shape, dtype.replace("|", " or ")), described(tensor.shape, tensor.dtype))
        for extent, actual in zip(extents, tensor.shape):
            letter, _, one = extent.partition("+")
            self._extents.setdefault(letter, plus(actual, -1) if one else actual)
        return tensor

    def check(self, holds: bool, role: str, wanted: str, got: Any) -> None:
        """Raise an `Error` unless something holds."""
        if not holds:
            self.fail(role, wanted, got)

    def static(self, *letters: str) -> None:
        """Check that extents are numbers."""
        for letter in letters:
            self.check(isinstance(self[letter], int), letter, "an extent that is a number", self[letter])

    def fail(self, role: str, wanted: str, got: Any) -> None:
        raise Error(f"{self.name}: {role}: expected {wanted}, got {got}")

    def clause(self, word: str, role: str, x: Any, dtype: str, *extents: str) -> str:
        """An operand that may be absent, as it is printed: ``word(%x : type)``."""
        if x is None:
            return ""
        tensor = self.operand(role, x, dtype, *extents)
        return f" {word}({tensor.value} : {tensor.value.type})"

    def groups(self, cu: Any) -> str:
        """The groups of tokens, as they are printed; B is their number."""
        if cu is None:
            self["B"] = 1
        return self.clause("of", "cu", cu, "i32", "B+1")

    def result(self, hint: str, shape: Shape, dtype: str, text: str, *typed: Tensor) -> Tensor:
        """Print it, with one result; types of operands stand after the text."""
        return emit(f"moe.{self.name}", hint, shape, dtype, f"{text} : {types([tensor.value for tensor in typed])}")

    def _wanted(self, extent: str, actual: Extent | None) -> Extent:
        """The extent that an operand should have: what is known of it, else what it has, else its letter."""
        letter, _, one = extent.partition("+")
        if letter not in self._extents:
            return extent if actual is None else actual
        return plus(self[letter], 1) if one else self[letter]


def numbers(**clauses: float | None) -> str:
    """Clauses of a number each, as they are printed; those without one are absent."""
    return "".join(f" {word} {float_literal(number)}" for word, number in clauses.items() if number is not None)
