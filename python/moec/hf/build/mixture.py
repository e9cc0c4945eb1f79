# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention whose projections to queries and from values are experts (arXiv:2404.07413)."""

from __future__ import annotations

import dataclasses

from moec.hf.build.attention import Sequences, read, settings, update
from moec.hf.build.ffn import assign, route
from moec.hf.build.rope import rotate
from moec.hf.build.scope import Scope, grouped_matmul
from moec.hf.spec import Mixture
from moec.mlir.ops import elementwise, empty, generic, size, split_heads
from moec.mlir.text import Body, Value, types


def attend_mixture(scope: Scope, x: Value, mixture: Mixture, sequences: Sequences) -> Value:
    """Causal attention of x [N, hidden] over the caches, which it extends."""
    body, rows, attention = scope.body, scope.rows, mixture.attention
    own = dataclasses.replace(scope, prefix=scope.prefix + "attn_")
    indices, weights = route(own, x, mixture.experts)
    row, perm, offsets = assign(body, indices, mixture.experts.experts)
    top_k, wide = mixture.experts.top_k, (None, attention.heads, attention.head_dim)

    sorted_x = body.op("sorted", x.type, f"moe.dispatch {x} by {perm} top {top_k} : {types([x, perm])}")
    slots = size(body, sorted_x, "slots")
    queries = grouped_matmul(body, "query_rows", sorted_x, own.weight("up"), slots, offsets)
    q = elementwise(body, "q", [], (empty(body, wide, rows), "nhd"), lambda: _query(body, queries, row, top_k, wide[2]))
    k, v = (split_heads(body, scope.linear(role, x, role), attention.kv_heads, rows) for role in "kv")
    if attention.rope:
        q, k = (rotate(body, y, sequences.cos, sequences.sin, rows, attention.rope.interleaved) for y in (q, k))
    for new, cache in zip((k, v), sequences.caches):
        update(scope, new, cache, sequences)
    attended = read(scope, q, sequences, settings(attention))

    out = (empty(body, queries.type.shape, slots), "rc")
    sorted_y = elementwise(body, "sorted", [(perm, "r")], out, lambda slot: _value(body, attended, slot, top_k))
    down = grouped_matmul(body, "down_rows", sorted_y, own.weight("down"), slots, offsets)
    y = body.op("mixed", x.type, f"moe.combine {down}, {row}, {weights} : {types([down, row, weights])}")
    return generic(body, "attn", "nd", [(own.weight("out_bias"), "d")], (y, "nd"), lambda b, y: y + b)


def _query(body: Body, queries: Value, row: Value, top_k: int, width: int) -> Value:
    """Head g k + j of a token is head g of the query that the token's j-th expert made."""
    token, head, channel = (body.op(hint, "index", f"linalg.index {at} : index") for at, hint in enumerate("nhd"))
    group, slot = (_arith(body, name, head, body.index(top_k)) for name in ("divui", "remui"))
    place = body.op("place", "i32", f"tensor.extract {row}[{token}, {slot}] : {row.type}")
    place = body.op("place", "index", f"arith.index_cast {place} : i32 to index")
    column = _arith(body, "addi", _arith(body, "muli", group, body.index(width)), channel)
    return body.op("e", "f32", f"tensor.extract {queries}[{place}, {column}] : {queries.type}")


def _value(body: Body, attended: Value, slot: Value, top_k: int) -> Value:
    """The same for what a slot n k + j attended to, [N, heads, channels], as one row."""
    column, place = body.op("c", "index", "linalg.index 1 : index"), body.index(attended.type.shape[2])
    slot = body.op("slot", "index", f"arith.index_cast {slot} : i32 to index")
    token, j = (_arith(body, name, slot, body.index(top_k)) for name in ("divui", "remui"))
    group, channel = (_arith(body, name, column, place) for name in ("divui", "remui"))
    head = _arith(body, "addi", _arith(body, "muli", group, body.index(top_k)), j)
    return body.op("e", "f32", f"tensor.extract {attended}[{token}, {head}, {channel}] : {attended.type}")


def _arith(body: Body, name: str, a: Value, b: Value) -> Value:
    return body.op(name, "index", f"arith.{name} {a}, {b} : index")
