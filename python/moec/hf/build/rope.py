# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Positions of rows, their rotary tables, and the rotation itself."""

from __future__ import annotations

from moec.hf.spec import Rope
from moec.mlir.ops import cut, elementwise, empty, index_at, loop, paste, size, write
from moec.mlir.text import Body, Shaped, Value, float_literal


def positions(body: Body, cu: Value, past: Value, rows: Value) -> Value:
    """Position of each row in its sequence, [N] f32: past[b] + r - cu[b] for the rows cu[b] <= r < cu[b+1]."""

    def fill(b: Value, positions: Value) -> Value:
        following = body.op("following", "index", f"arith.addi {b}, {body.index(1)} : index")
        first, end = index_at(body, "first", cu, b), index_at(body, "end", cu, following)
        count = body.op("count", "index", f"arith.subi {end}, {first} : index")
        cached = index_at(body, "cached", past, b)

        def position() -> Value:
            row = body.op("row", "index", "linalg.index 0 : index")
            whole = body.op("position", "index", f"arith.addi {cached}, {row} : index")
            narrow = body.op("position", "i32", f"arith.index_cast {whole} : index to i32")
            return body.op("position", "f32", f"arith.sitofp {narrow} : i32 to f32")

        own = cut(body, "own", positions, [first], [count])
        own = elementwise(body, "own", [], (own, "n"), position)
        return paste(body, "positions", own, positions, [first], [count])

    return loop(body, "positions", size(body, past, "sequences"), empty(body, (None,), rows), fill)


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


def rotate(body: Body, x: Value, cos: Value, sin: Value, rows: Value, interleaved: bool) -> Value:
    """Rotate the first channels of each head of x [N, heads, D] by the angles of the tables, [N, dim / 2].

    Two channels are the coordinates of a point: those at the same place of the two halves of the rotated channels, or
    neighbours if they are interleaved. Rotated coordinates (low cos - high sin, high cos + low sin) are left in halves
    either way: queries and keys meet in sums over all channels, whose order does not matter.
    """
    (_, heads, channels), half = x.type.shape, cos.type.shape[1]
    result = empty(body, x.type.shape, rows)
    sizes, step = [rows, heads, half], 2 if interleaved else 1
    low = cut(body, "low", x, [0, 0, 0], sizes, step)
    high = cut(body, "high", x, [0, 0, 1 if interleaved else half], sizes, step)
    ins = [(low, "nhd"), (high, "nhd"), (cos, "nd"), (sin, "nd")]
    formulas = {0: lambda low, high, c, s: low * c - high * s, half: lambda low, high, c, s: high * c + low * s}
    for at, formula in formulas.items():
        result = write(body, "rotated", ins, (result, "nhd"), [0, 0, at], sizes, formula)
    if channels > 2 * half:
        starts, sizes = [0, 0, 2 * half], [rows, heads, channels - 2 * half]
        kept = (cut(body, "kept", x, starts, sizes), "nhd")
        result = write(body, "rotated", [kept], (result, "nhd"), starts, sizes)
    return result
