# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Positions of rows, their rotary tables, and the rotation itself."""

from __future__ import annotations

from moec.hf.build.ops import elementwise, empty, index_at, size, slice_text
from moec.hf.build.text import Body, Shaped, Value, float_literal
from moec.hf.spec import Rope


def positions(body: Body, cu: Value, past: Value, rows: Value) -> Value:
    """Position of each row in its sequence, [N] f32: past[b] + r - cu[b] for the rows cu[b] <= r < cu[b+1]."""
    init = empty(body, (None,), rows)
    kind = init.type
    zero, one = body.index(0), body.index(1)
    sequences = size(body, past, "sequences")
    result, carried, b = body.value("positions", kind), body.value("carried", kind), body.value("b", "index")
    head = f"{result} = scf.for {b} = {zero} to {sequences} step {one} iter_args({carried} = {init}) -> ({kind})"
    with body.region(head):
        following = body.op("following", "index", f"arith.addi {b}, {one} : index")
        first, end = index_at(body, "first", cu, b), index_at(body, "end", cu, following)
        count = body.op("count", "index", f"arith.subi {end}, {first} : index")
        known = index_at(body, "known", past, b)

        def position() -> Value:
            row = body.op("row", "index", "linalg.index 0 : index")
            whole = body.op("position", "index", f"arith.addi {known}, {row} : index")
            narrow = body.op("position", "i32", f"arith.index_cast {whole} : index to i32")
            return body.op("position", "f32", f"arith.sitofp {narrow} : i32 to f32")

        where = slice_text([first], [count])
        own = body.op("own", kind, f"tensor.extract_slice {carried}{where} : {kind} to {kind}")
        own = elementwise(body, "own", [], (own, "n"), position)
        text = f"tensor.insert_slice {own} into {carried}{where} : {kind} into {kind}"
        updated = body.op("updated", kind, text)
        body.line(f"scf.yield {updated} : {kind}")
    return result


def tables(body: Body, rope: Rope, positions: Value, rows: Value) -> tuple[Value, Value]:
    """Cosine and sine of each row's angles, [N, dim / 2] each, times the embedding's factor."""
    channels = len(rope.inv_freq)
    literal = f"dense<[{', '.join(map(float_literal, rope.inv_freq))}]>"
    frequencies = body.constant(literal, Shaped((channels,)), "inv_freq")

    def table(name: str) -> Value:
        def element(position: Value, frequency: Value) -> Value:
            angle = position * frequency
            value = body.op(name, "f32", f"math.{name} {angle} : f32")
            return value if rope.factor == 1 else value * body.constant(rope.factor, "f32", "rope_factor")

        ins = [(positions, "n"), (frequencies, "d")]
        return elementwise(body, f"{name}_table", ins, (empty(body, (None, channels), rows), "nd"), element)

    return table("cos"), table("sin")


def rotate(body: Body, x: Value, cos: Value, sin: Value, rows: Value) -> Value:
    """Rotate the first channels of each head of x [N, heads, D] by the angles of the tables, [N, dim / 2].

    The two halves of the rotated channels are the coordinates: (low cos - high sin, high cos + low sin).
    """
    (_, heads, channels), half = x.type.shape, cos.type.shape[1]
    result = empty(body, x.type.shape, rows)

    def place(start: int, size: int) -> tuple[Shaped, str]:
        return Shaped((None, heads, size)), slice_text((0, 0, start), (rows, heads, size))

    def read(hint: str, tensor: Value, start: int, size: int) -> Value:
        type, where = place(start, size)
        return body.op(hint, type, f"tensor.extract_slice {tensor}{where} : {tensor.type} to {type}")

    def write(part: Value, tensor: Value, start: int) -> Value:
        type, where = place(start, part.type.shape[2])
        text = f"tensor.insert_slice {part} into {tensor}{where} : {type} into {tensor.type}"
        return body.op("roped", tensor.type, text)

    ins = [(read("low", x, 0, half), "nhd"), (read("high", x, half, half), "nhd"), (cos, "nd"), (sin, "nd")]
    formulas = {0: lambda low, high, c, s: low * c - high * s, half: lambda low, high, c, s: high * c + low * s}
    for start, formula in formulas.items():
        part = elementwise(body, "rotated", ins, (read("part", result, start, half), "nhd"), formula)
        result = write(part, result, start)
    if channels > 2 * half:
        result = write(read("kept", x, 2 * half, channels - 2 * half), result, 2 * half)
    return result
