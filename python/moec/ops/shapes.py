# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions that move elements: indexing, shapes, tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from moec.errors import Error
from moec.mlir import ops as linalg
from moec.mlir.text import Value, float_literal
from moec.ops.scope import Extent, Shape, current, described, quotient, shown, times, type_of
from moec.ops.tensor import (
    Index,
    Operand,
    Tensor,
    axis_of,
    broadcast,
    computed,
    elementwise,
    emit,
    empty,
    letters,
    operand,
)


def constant(array: Any) -> Tensor:
    """A small array whose numbers stand in the program: i32, f32 or i1. What is larger is a weight.

    Raises
    ------
    Error
        If i32 does not hold a number.
    """
    array = np.asarray(array)
    if array.dtype.kind in "iu":
        if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
            raise Error(f"constant: expected numbers of i32, got {array.min()} to {array.max()}")
        dtype, literal = "i32", str
    elif array.dtype.kind in "fb":
        dtype, literal = ("f32", float_literal) if array.dtype.kind == "f" else ("i1", lambda e: str(e).lower())
    else:
        raise Error(f"constant: expected numbers, got {array.dtype}")

    def nested(elements: Any) -> str:
        if isinstance(elements, list):
            return f"[{', '.join(map(nested, elements))}]"
        return literal(elements)

    text = nested(array.tolist()) if array.size else ""
    return Tensor(current().body.constant(f"dense<{text}>", type_of(array.shape, dtype), "table"), array.shape)


def arange(count: Extent) -> Tensor:
    """0, 1, ... below an extent, i32."""
    body = current().body

    def element() -> Value:
        index = body.op("i", "index", "linalg.index 0 : index")
        return body.op("e", "i32", f"arith.index_cast {index} : index to i32")

    return Tensor(linalg.elementwise(body, "arange", [], (empty((count,), "i32"), "n"), element), (count,))


def broadcast_to(x: Operand, shape: Shape) -> Tensor:
    """x, repeated along the axes that it lacks or has with extent 1.

    Raises
    ------
    Error
        If its shape does not go with the other.
    """
    x = operand("broadcast_to", "x", x)
    if broadcast("broadcast_to", [x.shape, shape]) != tuple(shape):
        raise Error(f"broadcast_to: x: expected a shape that broadcasts to {shown(shape)}, got {shown(x.shape)}")
    return elementwise("broadcast_to", [x], lambda e: e, computed(x.dtype), shape)


def concatenate(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Tensors side by side along an axis whose extents are numbers.

    Raises
    ------
    Error
        If other extents or dtypes differ.
    """
    parts = [operand("concatenate", str(number), x) for number, x in enumerate(tensors)]
    if not parts:
        raise Error("concatenate: expected at least one tensor, got none")
    first = parts[0]
    axis = axis_of("concatenate", first, axis)

    def rest(part: Tensor) -> tuple[str, Shape]:
        return part.dtype, part.shape[:axis] + part.shape[axis + 1 :]

    for number, part in enumerate(parts):
        if rest(part) != rest(first) or not isinstance(part.shape[axis], int):
            wanted = described(first.shape[:axis] + ("a number",) + first.shape[axis + 1 :], first.dtype)
            raise Error(f"concatenate: {number}: expected {wanted}, got {described(part.shape, part.dtype)}")
    width = sum(part.shape[axis] for part in parts)
    shape = first.shape[:axis] + (width,) + first.shape[axis + 1 :]
    result, at = empty(shape, first.dtype), 0
    for part in parts:
        starts = [at if number == axis else 0 for number in range(len(shape))]
        sizes = [current().size(extent) for extent in part.shape]
        result = linalg.paste(current().body, "concatenated", part.value, result, starts, sizes)
        at += part.shape[axis]
    return Tensor(result, shape)


def take(table: Operand, indices: Operand) -> Tensor:
    """Rows of a table, table[indices]. An index that is out of range is the nearest one in it, as with NumPy's "clip".

    Raises
    ------
    Error
        If the indices are not i32.
    """
    table, indices = operand("take", "table", table), operand("take", "indices", indices)
    if indices.dtype != "i32" or not table.shape:
        got = f"{described(table.shape, table.dtype)} and {indices.dtype}"
        raise Error(f"take: expected a table with rows and indices of i32, got {got}")
    scope = current()
    op, zero = scope.body.op, scope.body.index(0)
    rows = scope.size(table.shape[0])
    rows = rows if isinstance(rows, Value) else scope.body.index(rows)
    last = op("last", "index", f"arith.subi {rows}, {scope.body.index(1)} : index")
    shape, own = indices.shape + table.shape[1:], letters(len(indices.shape))
    dtype = computed(table.dtype)

    def element(index: Value) -> Value:
        row = op("row", "index", f"arith.index_cast {index} : i32 to index")
        row = op("row", "index", f"arith.minsi {row}, {last} : index")
        row = op("row", "index", f"arith.maxsi {row}, {zero} : index")
        axes = [op("d", "index", f"linalg.index {axis} : index") for axis in range(len(own), len(shape))]
        places = ", ".join(map(str, [row, *axes]))
        e = op("e", table.dtype, f"tensor.extract {table.value}[{places}] : {table.value.type}")
        return e if dtype == table.dtype else op("e", dtype, f"arith.extf {e} : bf16 to f32")

    out = (empty(shape, dtype), letters(len(shape)))
    return Tensor(linalg.elementwise(scope.body, "taken", [(indices.value, own)], out, element), shape)


def transpose(x: Operand) -> Tensor:
    """A matrix with rows and columns exchanged."""
    x = operand("transpose", "x", x)
    if len(x.shape) != 2:
        raise Error(f"transpose: x: expected two axes, got {described(x.shape, x.dtype)}")
    out = (empty(x.shape[::-1], computed(x.dtype)), "nd")
    value = linalg.elementwise(current().body, "transposed", [(x.value, "dn")], out, lambda e: e)
    return Tensor(value, x.shape[::-1])


def reshape(x: Operand, shape: Sequence[int]) -> Tensor:
    """The same elements in another shape of numbers, where -1 is what is left, e.g. [T, 4] as (-1, 1) is [T*4, 1].

    Raises
    ------
    Error
        If there are not as many elements.
    """
    x = operand("reshape", "x", x)
    named = [extent for extent in x.shape if isinstance(extent, str)]
    total: Extent = math.prod(extent for extent in x.shape if isinstance(extent, int))
    total = times(named[0], total) if named else total
    result = _completed(tuple(shape), total) if len(named) < 2 else None
    if result is None:
        raise Error(f"reshape: expected a shape with as many elements as {shown(x.shape)}, got {shown(shape)}")
    if len(x.shape) > 1:
        groups = [list(range(len(x.shape)))]
        type = type_of((total,), x.dtype)
        x = emit("tensor.collapse_shape", "flat", (total,), x.dtype, f"{x.value} {groups} : {x.value.type} into {type}")
    return x if x.shape == result else _expanded(x, result, [list(range(len(result)))] * len(x.shape))


def index(x: Operand, key: Any) -> Tensor:
    """x[key], where the key has numbers and slices for axes whose extents are numbers, ``:`` and `Index` for any, and
    None for a new axis; or it is a tensor of i32, and rows are taken.

    Raises
    ------
    Error
        If the key is another one.
    """
    if isinstance(key, Operand):
        return take(x, key)
    x = operand("index", "x", x)
    keys = list(key) if isinstance(key, tuple) else [key]
    axes = [item for item in keys if item is not None]
    if len(axes) > len(x.shape):
        raise Error(f"index: expected at most {len(x.shape)} axes, got {len(axes)}")
    keys += [slice(None)] * (len(x.shape) - len(axes))
    places = [_place(extent, item) for extent, item in zip(x.shape, (item for item in keys if item is not None))]
    cut = tuple(size for _, size in places if size is not None)
    if cut != x.shape:
        scope = current()
        starts = ", ".join(str(start) for start, _ in places)
        sizes = ", ".join("1" if size is None else str(scope.size(size)) for _, size in places)
        text = f"{x.value}[{starts}] [{sizes}] [{', '.join('1' for _ in places)}]"
        text += f" : {x.value.type} to {type_of(cut, x.dtype)}"
        x = emit("tensor.extract_slice", "part", cut, x.dtype, text)
    if None not in keys:
        return x
    source, shape = -1, []
    groups: list[list[int]] = [[] for _ in x.shape]
    for item in keys:
        if item is None or isinstance(item, slice):
            source += item is not None
            if groups:
                groups[max(source, 0)].append(len(shape))
            shape.append(1 if item is None else x.shape[source])
    return _expanded(x, tuple(shape), groups)


def _place(extent: Extent, item: Any) -> tuple[Value | int, Extent | None]:
    """Start and size of a part of an axis; no size where the axis is dropped."""
    if isinstance(item, slice) and item == slice(None):
        return 0, extent
    if isinstance(item, Index):
        return item.value, None
    if isinstance(extent, int) and isinstance(item, slice) and item.step in (None, 1):
        start, stop, _ = item.indices(extent)
        if start < stop:
            return start, stop - start
    if isinstance(extent, int) and isinstance(item, (int, np.integer)) and -extent <= item < extent:
        return int(item) % extent, None
    wanted = f"a number below {extent} or a slice that has one" if isinstance(extent, int) else "the whole axis"
    raise Error(f"index: expected {wanted}, got {item}")


def _expanded(x: Tensor, shape: Shape, groups: list[list[int]]) -> Tensor:
    """The tensor with more axes; groups say which of them each of its own becomes."""
    sizes = ", ".join(str(current().size(extent)) for extent in shape)
    text = f"{x.value} {groups} output_shape [{sizes}] : {x.value.type} into {type_of(shape, x.dtype)}"
    return emit("tensor.expand_shape", "shaped", shape, x.dtype, text)


def _completed(shape: Shape, total: Extent) -> Shape | None:
    """The shape with the extent that -1 stands for, if it has as many elements as it should."""
    if shape.count(-1) != 1:
        return shape if shape and min(shape) > 0 and math.prod(shape) == total else None
    rest = quotient(total, -math.prod(shape))
    return None if rest is None else tuple(rest if extent == -1 else extent for extent in shape)
