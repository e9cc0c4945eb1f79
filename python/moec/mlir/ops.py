# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The upstream operations that the decoder is made of: linalg on tensors, reshapes, gathers of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Union

from moec.mlir.text import Body, Shaped, Value, names, types

Operand = tuple[Value, str]
"""A tensor and the letters of the dimensions it is indexed by, e.g. ``(x, "nd")``."""

Place = Union[Value, int]
"""An index or extent, known or not."""


def size(body: Body, tensor: Value, hint: str) -> Value:
    """Extent of the first dimension."""
    return body.op(hint, "index", f"tensor.dim {tensor}, {body.index(0)} : {tensor.type}")


def empty(body: Body, shape: tuple[int | None, ...], rows: Value) -> Value:
    """A tensor of f32 without contents; `rows` is the extent that the shape leaves open."""
    type = Shaped(shape)
    return body.op("init", type, f"tensor.empty({rows}) : {type}")


def filled(body: Body, hint: str, shape: tuple[int | None, ...], rows: Value, number: Value) -> Value:
    """A tensor of f32 that holds one number everywhere."""
    init = empty(body, shape, rows)
    return body.op(hint, init.type, f"linalg.fill ins({number} : f32) outs({init} : {init.type}) -> {init.type}")


def zero_filled(body: Body, shape: tuple[int | None, ...], rows: Value) -> Value:
    """A tensor of f32 that holds zeros."""
    return filled(body, "zeros", shape, rows, body.constant(0.0, "f32", "zero"))


def generic(
    body: Body, hint: str, dims: str, ins: Sequence[Operand], out: Operand, scalar: Callable[..., Value]
) -> Value:
    """A linalg.generic with one result.

    Parameters
    ----------
    hint : str
        Name of the result.
    dims : str
        One letter for each dimension of the loop nest, outermost first. Those that `out` does not have are reduced.
    ins, out : Operand
        Inputs, and the tensor that the result overwrites.
    scalar : callable
        Computes an element of the result from those of `ins` and then `out`. Elements in 16 bits come extended to f32.
    """
    operands = [*ins, out]
    init, kept = out
    loop = ", ".join(dims)
    maps = ", ".join(f"affine_map<({loop}) -> ({', '.join(letters)})>" for _, letters in operands)
    iterators = ", ".join('"parallel"' if letter in kept else '"reduction"' for letter in dims)
    inputs = [value for value, _ in ins]
    printed = f"ins({names(inputs)} : {types(inputs)}) " if inputs else ""
    result = body.value(hint, init.type)
    with body.region(
        f"{result} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{iterators}]}} "
        f"{printed}outs({init} : {init.type})",
        f"}} -> {init.type}",
    ):
        elements = [body.value("e", value.type.dtype) for value, _ in operands]
        body.line(f"^bb0({', '.join(f'{e}: {e.type}' for e in elements)}):")
        y = scalar(*map(extended, elements))
        body.line(f"linalg.yield {y} : {y.type}")
    return result


def elementwise(body: Body, hint: str, ins: Sequence[Operand], out: Operand, scalar: Callable[..., Value]) -> Value:
    """A linalg.generic without reduction whose result does not depend on what `out` held."""
    return generic(body, hint, out[1], ins, out, lambda *elements: scalar(*elements[:-1]))


def add_to(body: Body, hint: str, x: Value, y: Value, factor: float = 1) -> Value:
    """x + factor y, which takes the place of x."""

    def element(y: Value, x: Value) -> Value:
        return x + (y if factor == 1 else y * body.constant(factor, "f32", "residual"))

    return generic(body, hint, "nd", [(y, "nd")], (x, "nd"), element)


def each(body: Body, hint: str, x: Value, rows: Value, scalar: Callable[[Value], Value]) -> Value:
    """A function of each element of x [N, D]."""
    return elementwise(body, hint, [(x, "nd")], (empty(body, x.type.shape, rows), "nd"), scalar)


def loop(body: Body, hint: str, count: Value, init: Value, step: Callable[[Value, Value], Value]) -> Value:
    """Run step(i, carried) for i from 0 below `count`; what it returns is carried on, from `init` to the result."""
    result = body.value(hint, init.type)
    i, carried = body.value("i", "index"), body.value("carried", init.type)
    head = f"{result} = scf.for {i} = {body.index(0)} to {count} step {body.index(1)}"
    with body.region(f"{head} iter_args({carried} = {init}) -> ({init.type})"):
        updated = step(i, carried)
        body.line(f"scf.yield {updated} : {init.type}")
    return result


def look_up(body: Body, hint: str, numbers: Sequence[int], position: Value) -> Value:
    """One of several numbers, as an index."""
    table = body.constant(f"dense<{list(numbers)}>", Shaped((len(numbers),), "index"), f"{hint}_table")
    return body.op(hint, "index", f"tensor.extract {table}[{position}] : {table.type}")


def switch(body: Body, hint: str, number: Value, type: Shaped, branches: Sequence[Callable[[], Value]]) -> Value:
    """What the branch of a number returns."""
    result = body.value(hint, type)
    body.line(f"{result} = scf.index_switch {number} -> {type}")
    *cases, last = branches
    for head, branch in [*((f"case {i}", case) for i, case in enumerate(cases)), ("default", last)]:
        with body.region(head):
            y = branch()
            body.line(f"scf.yield {y} : {type}")
    return result


def cut(body: Body, hint: str, tensor: Value, starts: Sequence[Place], sizes: Sequence[Place], step: int = 1) -> Value:
    """A part of a tensor, with every `step`-th element of its last dimension."""
    type = Shaped(tuple(size if isinstance(size, int) else None for size in sizes), tensor.type.dtype)
    place = _slice(starts, sizes, step)
    return body.op(hint, type, f"tensor.extract_slice {tensor}{place} : {tensor.type} to {type}")


def paste(body: Body, hint: str, part: Value, tensor: Value, starts: Sequence[Place], sizes: Sequence[Place]) -> Value:
    """The tensor with another part in one place."""
    text = f"tensor.insert_slice {part} into {tensor}{_slice(starts, sizes)} : {part.type} into {tensor.type}"
    return body.op(hint, tensor.type, text)


def write(
    body: Body,
    hint: str,
    ins: Sequence[Operand],
    out: Operand,
    starts: Sequence[Place],
    sizes: Sequence[Place],
    scalar: Callable[..., Value] = lambda e: e,
) -> Value:
    """A tensor with elements in one place that are computed from those of `ins`, by default copies of the only one."""
    tensor, letters = out
    part = cut(body, "part", tensor, starts, sizes)
    part = elementwise(body, hint, ins, (part, letters), scalar)
    return paste(body, hint, part, tensor, starts, sizes)


def split_heads(body: Body, x: Value, heads: int, rows: Value) -> Value:
    """[N, heads * D] as [N, heads, D]."""
    channels = x.type.shape[1] // heads
    type = Shaped((None, heads, channels))
    sizes = f"[{rows}, {heads}, {channels}]"
    text = f"tensor.expand_shape {x} [[0], [1, 2]] output_shape {sizes} : {x.type} into {type}"
    return body.op("heads", type, text)


def merge_heads(body: Body, x: Value) -> Value:
    """[N, heads, D] as [N, heads * D]."""
    type = Shaped((None, x.type.shape[1] * x.type.shape[2]))
    return body.op("merged", type, f"tensor.collapse_shape {x} [[0], [1, 2]] : {x.type} into {type}")


def flattened(body: Body, hint: str, x: Value) -> Value:
    """A matrix of one row or column as a vector."""
    extents = [extent for extent in x.type.shape if extent != 1]
    type = Shaped(tuple(extents), x.type.dtype)
    return body.op(hint, type, f"tensor.collapse_shape {x} [[0, 1]] : {x.type} into {type}")


def gather_rows(body: Body, hint: str, table: Value, indices: Value, rows: Value) -> Value:
    """out[i, d] = table[indices[i], d] as f32."""

    def element(i: Value) -> Value:
        row = body.op("row", "index", f"arith.index_cast {i} : i32 to index")
        d = body.op("d", "index", "linalg.index 1 : index")
        dtype = table.type.dtype
        return extended(body.op("e", dtype, f"tensor.extract {table}[{row}, {d}] : {table.type}"))

    init = empty(body, (None, table.type.shape[1]), rows)
    return elementwise(body, hint, [(indices, "n")], (init, "nd"), element)


def index_at(body: Body, hint: str, indices: Value, position: Value) -> Value:
    """One element of a tensor of i32, as an index."""
    element = body.op("e", "i32", f"tensor.extract {indices}[{position}] : {indices.type}")
    return body.op(hint, "index", f"arith.index_cast {element} : i32 to index")


def _slice(starts: Sequence[Place], sizes: Sequence[Place], step: int = 1) -> str:
    strides = [1] * (len(sizes) - 1) + [step]
    return " ".join(f"[{', '.join(map(str, numbers))}]" for numbers in (starts, sizes, strides))


def extended(element: Value) -> Value:
    """A scalar in bf16 or f16 as f32."""
    if element.type not in ("bf16", "f16"):
        return element
    return element.body.op("e", "f32", f"arith.extf {element} : {element.type} to f32")
