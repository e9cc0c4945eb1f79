# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Latent attention (arXiv:2405.04434) in its absorbed form.

A key of head h is W_h c for the latent vector c of its position, so that q.(W_h c) = (W_h^T q).c: queries are brought
to the latent space, and attend to latent vectors there. What they get is a mean of latent vectors, which the head's
other projection turns into its value.
"""

from __future__ import annotations

from moec.hf.build.attention import Sequences, read, tempered, update
from moec.hf.build.norm import normalize
from moec.hf.build.rope import rotate
from moec.hf.build.scope import Scope, grouped_matmul
from moec.hf.spec import Latent, Norm
from moec.mlir.ops import cut, each, elementwise, empty, merge_heads, split_heads, write
from moec.mlir.text import Shaped, Value, float_literal


def attend_latent(scope: Scope, x: Value, latent: Latent, sequences: Sequences) -> Value:
    """Causal attention of x [N, hidden] over the cache of latent vectors and rotated keys, which it extends."""
    body, rows, heads = scope.body, scope.rows, latent.heads
    norm, width = Norm(latent.eps), latent.rank + latent.rope.dim

    def rotated(y: Value) -> Value:
        return rotate(body, y, sequences.cos, sequences.sin, rows, latent.rope.interleaved)

    def joined(hint: str, y: Value, rope: Value) -> Value:
        count = y.type.shape[1]
        whole = empty(body, (None, count, width), rows)
        for part, begin in ((y, 0), (rope, latent.rank)):
            sizes = [rows, count, part.type.shape[2]]
            whole = write(body, hint, [(part, "nhd")], (whole, "nhd"), [0, 0, begin], sizes)
        return whole

    kv = scope.linear("kv", x, "kv_a")
    vector = cut(body, "latent", kv, [0, 0], [rows, latent.rank])
    vector = normalize(scope, "latent", vector, "kv_a_norm", norm)
    if latent.factor != 1:
        vector = each(body, "latent", vector, rows, lambda e: e * body.constant(latent.factor, "f32", "latent_factor"))
    vector = split_heads(body, vector, 1, rows)
    key = cut(body, "key", split_heads(body, kv, 1, rows), [0, 0, latent.rank], [rows, 1, latent.rope.dim])
    update(scope, joined("kept", vector, rotated(key)), sequences.caches[0], sequences)

    if latent.q_rank is not None:
        x = normalize(scope, "q_latent", scope.linear("q_latent", x, "q_a"), "q_a_norm", norm)
    q = split_heads(body, scope.linear("q", x, "q" if latent.q_rank is None else "q_b"), heads, rows)
    if latent.temperature:
        q = tempered(scope, q, latent.temperature, sequences)
    nope = cut(body, "nope", q, [0, 0, 0], [rows, heads, latent.nope_dim])
    rope = cut(body, "rope", q, [0, 0, latent.nope_dim], [rows, heads, latent.rope.dim])
    q = joined("query", _by_head(scope, nope, "k_b"), rotated(rope))
    attended = read(scope, q, sequences, f"scale = {float_literal(latent.scale)} : f32")
    attended = cut(body, "attended", attended, [0, 0, 0], [rows, heads, latent.rank])
    return scope.linear("attn", merge_heads(body, _by_head(scope, attended, "v_b")), "o")


def _by_head(scope: Scope, x: Value, role: str) -> Value:
    """x [N, heads, in], each head times the transpose of its own weight [out, in]: [N, heads, out]."""
    body, weight, heads = scope.body, scope.weight(role), x.type.shape[1]
    count = body.op("slots", "index", f"arith.muli {scope.rows}, {body.index(heads)} : index")
    x = _swapped(scope, x)
    flat = Shaped((None, x.type.shape[2]))
    x = body.op("sorted", flat, f"tensor.collapse_shape {x} [[0, 1], [2]] : {x.type} into {flat}")
    y = grouped_matmul(body, f"{role}_rows", x, weight, count, _offsets(scope, heads))
    whole = Shaped((heads, None, y.type.shape[1]))
    sizes = f"[{heads}, {scope.rows}, {y.type.shape[1]}]"
    text = f"tensor.expand_shape {y} [[0, 1], [2]] output_shape {sizes} : {y.type} into {whole}"
    return _swapped(scope, body.op("heads", whole, text))


def _swapped(scope: Scope, x: Value) -> Value:
    """The tensor with its first two dimensions in the other order."""
    first, second, channels = x.type.shape
    out = (empty(scope.body, (second, first, channels), scope.rows), "bad")
    return elementwise(scope.body, "swapped", [(x, "abd")], out, lambda e: e)


def _offsets(scope: Scope, heads: int) -> Value:
    """Where each head begins and the last one ends among rows that are sorted by head, [heads + 1]."""
    body, type = scope.body, Shaped((heads + 1,), "i32")

    def offset() -> Value:
        head = body.op("head", "index", "linalg.index 0 : index")
        begin = body.op("begin", "index", f"arith.muli {head}, {scope.rows} : index")
        return body.op("begin", "i32", f"arith.index_cast {begin} : index to i32")

    return elementwise(body, "offsets", [], (body.op("init", type, f"tensor.empty() : {type}"), "h"), offset)
