# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Positions of rows, their rotary tables, and the rotation itself."""

from __future__ import annotations

from moec.hf.build.ops import elementwise, empty, generic, index_at, size
from moec.hf.build.text import Body, Shaped, Value, float_literal
from moec.hf.spec import Rope


def positions(body: Body, cu: Value, past: Value, rows: Value) -> Value:
    """Position of each row in its sequence, [N] f32: past[b] + r - cu[b] for the rows cu[b] <= r < cu[b+1]."""
    init = body.op("init", Shaped((None,)), f"tensor.empty({rows}) : {Shaped((None,))}")
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

        def position(_: Value) -> Value:
            row = body.op("row", "index", "linalg.index 0 : index")
            whole = body.op("position", "index", f"arith.addi {known}, {row} : index")
            narrow = body.op("position", "i32", f"arith.index_cast {whole} : index to i32")
            return body.op("position", "f32", f"arith.sitofp {narrow} : i32 to f32")

        own = body.op("own", kind, f"tensor.extract_slice {carried}[{first}] [{count}] [1] : {kind} to {kind}")
        (own,) = generic(body, "own", "n", [], [(own, "n")], position)
        text = f"tensor.insert_slice {own} into {carried}[{first}] [{count}] [1] : {kind} into {kind}"
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
        return elementwise(body, f"{name}_table", "nd", ins, empty(body, (None, channels), rows), element)

    return table("cos"), table("sin")


def rotate(body: Body, x: Value, cos: Value, sin: Value, rows: Value) -> Value:
    """Rotate the first channels of each head of x [N, heads, D] in place; the tables say how many."""
    heads, half = x.type.shape[1], cos.type.shape[1]
    type = Shaped((None, heads, half))
    places = [f"[0, 0, {start}] [{rows}, {heads}, {half}] [1, 1, 1]" for start in (0, half)]
    halves = [body.op("half", type, f"tensor.extract_slice {x}{place} : {x.type} to {type}") for place in places]

    def element(c: Value, s: Value, low: Value, high: Value) -> tuple[Value, Value]:
        return low * c - high * s, high * c + low * s

    outs = [(value, "nhd") for value in halves]
    rotated = generic(body, "rotated", "nhd", [(cos, "nd"), (sin, "nd")], outs, element)
    for value, place in zip(rotated, places):
        x = body.op("roped", x.type, f"tensor.insert_slice {value} into {x}{place} : {type} into {x.type}")
    return x
