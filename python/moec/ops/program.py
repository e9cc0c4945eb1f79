# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A program: functions that are traced to MLIR, and weights that stay out of its text."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moec.errors import Error
from moec.mlir.text import Argument, Body, Value
from moec.ops.scope import Extent, Scope, Shape, current, shown, type_of
from moec.ops.tensor import Index, Operand, Tensor, operand

_SYMBOL = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_EXTENT = re.compile(r"[A-Za-z_]\w*(\+\d+)?", re.ASCII)


@dataclass(frozen=True)
class TensorType:
    """Type of an argument, made by `f32`, `bf16` and `i32`."""

    shape: Shape
    dtype: str


def f32(*shape: int | str) -> TensorType:
    """Numbers in f32. An extent is a number, or a name for one that is only known when the program runs; equal names
    are equal extents, and ``"B+1"`` is one more than ``"B"``."""
    return TensorType(shape, "f32")


def bf16(*shape: int | str) -> TensorType:
    """Numbers in bf16, which are computed with in f32. Extents are as those of `f32`."""
    return TensorType(shape, "bf16")


def i32(*shape: int | str) -> TensorType:
    """Indices. Extents are as those of `f32`."""
    return TensorType(shape, "i32")


class Weight(Operand):
    """A constant that is kept in the package's weights; functions use it as they use tensors.

    Attributes
    ----------
    name : str
    array : array of f32
        The values, rounded to the dtype.
    dtype : str
        ``"f32"`` or ``"bf16"``.
    """

    def __init__(self, name: str, array: np.ndarray, dtype: str, program: Program):
        self.name = name
        self.array = array
        self.dtype = dtype
        self._program = program

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, key: Any) -> Tensor:
        keys = key if isinstance(key, tuple) else (key,)
        if all(isinstance(item, Index) for item in keys):
            return self._load("index", "x", keys)
        return super().__getitem__(key)

    def here(self, op: str, role: str) -> Tensor:
        return self._load(op, role, ())

    def _load(self, op: str, role: str, indices: tuple[Index, ...]) -> Tensor:
        scope, shape = current(), self.shape[len(indices) :]
        if scope.body is not self._program._body:
            raise Error(f"{op}: {role}: expected a weight of this program, got another's")
        self._program._loaded.add(self.name)
        at = f"[{', '.join(str(index.value) for index in indices)}]" if indices else ""
        type = type_of(shape, self.dtype)
        text = f"moe.load_parameter @{self.name}{at} : {type}"
        return Tensor(scope.once(text, lambda: scope.body.op(self.name, type, text)), shape)


class Program:
    """Functions that become those of a package.

    >>> program = Program()
    >>> table = program.weight("table", numpy.eye(8))
    >>> @program.function(x=f32("T", 8))
    ... def double(x):
    ...     return 2 * linear(x, table)
    >>> moec.compile(program, "double.moe")

    ``str(program)`` is the MLIR.
    """

    def __init__(self):
        self._weights: dict[str, Weight] = {}
        self._functions: dict[str, str] = {}
        self._used: set[str] = set()
        # The function that is traced, and the weights that it loads.
        self._body: Body | None = None
        self._loaded: set[str] = set()

    def __str__(self) -> str:
        declarations = [
            f'  moe.parameter @{weight.name} : {type_of(weight.shape, weight.dtype)} from "{weight.name}"'
            for weight in self._read
        ]
        parts = ["\n".join(declarations)] * bool(declarations) + list(self._functions.values())
        return "module {\n" + "\n\n".join(parts) + "\n}\n"

    def weight(self, name: str, array: Any, dtype: str = "f32") -> Weight:
        """Make a constant of an array.

        Parameters
        ----------
        name : str
            Its symbol.
        array : array of float
        dtype : str
            ``"f32"``, or ``"bf16"`` to round to.

        Raises
        ------
        Error
            If the name is taken or cannot be one, or the array is not one of numbers.
        """
        self._check_new(name)
        if dtype not in ("f32", "bf16"):
            raise Error(f"weight: {name}: expected dtype f32 or bf16, got {dtype}")
        array = np.asarray(array)
        if array.dtype.kind not in "fiu" or not array.size:
            raise Error(f"weight: {name}: expected numbers, got {array.dtype} {shown(array.shape)}")
        array = np.array(array, np.float32, order="C")
        self._weights[name] = Weight(name, _rounded(array) if dtype == "bf16" else array, dtype, self)
        return self._weights[name]

    def function(self, **arguments: TensorType) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A decorator that adds a function of tensors, which is called once, now, and returns a tensor or several.

        Parameters
        ----------
        arguments : TensorType
            Type of each, by name and in order.

        Raises
        ------
        Error
            If an operation in it has operands that do not go together, or a result has an extent that is neither a
            number nor an argument's.
        """
        for name, type in arguments.items():
            if not _SYMBOL.fullmatch(name):
                raise Error(f"expected a name of letters, digits and _, got {name!r}")
            for extent in type.shape:
                if not (_EXTENT.fullmatch(extent) if isinstance(extent, str) else extent > 0):
                    raise Error(f"{name}: expected extents that are names or positive numbers, got {extent!r}")

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            name = function.__name__
            self._check_new(name)
            self._functions[name] = self._traced(name, function, arguments)
            self._used |= self._loaded
            return function

        return add

    def save_weights(self, folder: str | os.PathLike[str]) -> None:
        """Write the weights that functions use, as a checkpoint that ``moe-compile --checkpoint`` reads."""
        header, chunks, end = {}, [], 0
        for weight in self._read:
            bits = weight.array if weight.dtype == "f32" else (weight.array.view(np.uint32) >> 16).astype(np.uint16)
            begin, end = end, end + bits.nbytes
            offsets = [begin, end]
            header[weight.name] = {"dtype": weight.dtype.upper(), "shape": bits.shape, "data_offsets": offsets}
            chunks.append(bits)
        text = json.dumps(header).encode()
        with open(Path(folder) / "model.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for chunk in chunks:
                file.write(chunk.data)

    @property
    def _read(self) -> list[Weight]:
        """The weights that functions use."""
        return [weight for name, weight in self._weights.items() if name in self._used]

    def _check_new(self, name: str) -> None:
        """Check that a name can be that of a weight or function, and is none yet."""
        if not _SYMBOL.fullmatch(name) or name in self._weights or name in self._functions:
            raise Error(f"expected a new name of letters, digits, _ and ., got {name!r}")

    def _traced(self, name: str, function: Callable[..., Any], arguments: Mapping[str, TensorType]) -> str:
        """The text of a function."""
        signature = [Argument(name, type_of(type.shape, type.dtype), type.shape) for name, type in arguments.items()]
        self._body, self._loaded = Body(signature), set()
        with Scope(self._body).entered():
            tensors = {name: Tensor(value, arguments[name].shape) for name, value in self._body.arguments.items()}
            returned = function(**tensors)
            results = returned if isinstance(returned, tuple) else (returned,)
            known = {extent for type in arguments.values() for extent in type.shape}
            known |= {extent.partition("+")[0] for extent in known if isinstance(extent, str)}
            printed = [self._result(name, number, result, known) for number, result in enumerate(results)]
        return self._body.function(name, printed)

    def _result(self, function: str, number: int, result: Any, known: set[Extent]) -> tuple[Argument, Value]:
        """What a function returns, and its description."""
        tensor = operand(function, f"result {number}", result)
        if any(isinstance(extent, str) and extent not in known for extent in tensor.shape):
            wanted = "extents that are numbers or an argument's"
            raise Error(f"{function}: result {number}: expected {wanted}, got {shown(tensor.shape)}")
        return Argument(f"result{number}", tensor.value.type, tensor.shape), tensor.value


def _rounded(array: np.ndarray) -> np.ndarray:
    """f32 that bf16 holds: to nearest, ties to even."""
    bits = array.view(np.uint32)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return np.where(np.isnan(array), np.float32(np.nan), nearest.view(np.float32))
