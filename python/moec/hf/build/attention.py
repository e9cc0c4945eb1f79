# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The attention of a layer: projections, norms, rotation, cache, output projection."""

from __future__ import annotations

from dataclasses import dataclass

from moec.hf.build.norm import rms_norm
from moec.hf.build.rope import rotate
from moec.hf.build.scope import Scope
from moec.hf.spec import Attention
from moec.mlir.ops import elementwise, empty, merge_heads, split_heads
from moec.mlir.text import Value, float_literal, names, types


@dataclass(frozen=True)
class Sequences:
    """Which rows belong to which sequence, where they are in it, and where its past is kept.

    Attributes
    ----------
    cu, past, slot : Value
        [B+1], [B], [B] i32: sequence b owns rows cu[b] to cu[b+1], continues after past[b] tokens, and is kept in row
        slot[b] of the caches.
    cos, sin : Value
        [N, dim / 2] f32: each row's rotary tables.
    k_cache, v_cache : Value
        Memrefs [layers, slots, max_len, kv_heads, head_dim] f32.
    """

    cu: Value
    past: Value
    slot: Value
    cos: Value
    sin: Value
    k_cache: Value
    v_cache: Value


def attend(scope: Scope, x: Value, attention: Attention, sequences: Sequences, eps: float) -> Value:
    """Causal attention of x [N, hidden] over the caches, which it extends."""
    body, rows = scope.body, scope.rows
    q, k, v = (_project(scope, x, role, attention, eps) for role in "qkv")
    q, k = (rotate(body, y, sequences.cos, sequences.sin, rows) for y in (q, k))
    for new, cache in ((k, sequences.k_cache), (v, sequences.v_cache)):
        inputs = [new, sequences.cu, sequences.past, sequences.slot]
        body.line(f"moe.cache_update {names(inputs)} into {cache}[{scope.layer}] : {types(inputs)}, {cache.type}")
    inputs = [q, sequences.cu, sequences.past, sequences.slot]
    init = empty(body, q.type.shape, rows)
    settings = f"scale = {float_literal(attention.head_dim**-0.5)} : f32"
    if attention.window:
        settings += f", window = {attention.window} : i64"
    attended = body.op(
        "attended",
        q.type,
        f"moe.attention ins({names(inputs)} : {types(inputs)}) "
        f"cache({sequences.k_cache}, {sequences.v_cache} at {scope.layer} : {sequences.k_cache.type}) "
        f"outs({init} : {init.type}) {{{settings}}} -> {q.type}",
    )
    return scope.linear("attn", merge_heads(body, attended), "o")


def _project(scope: Scope, x: Value, role: str, attention: Attention, eps: float) -> Value:
    """Query, key or value of each row, [N, heads, head_dim]; its norm spans a head or the whole projection."""
    body, rows = scope.body, scope.rows
    heads = attention.heads if role == "q" else attention.kv_heads
    norm = attention.qk_norm if role != "v" else None
    y = scope.linear(role, x, role)
    if norm == "projection":
        y = rms_norm(body, f"{role}_norm", y, scope.weight(f"{role}_norm"), eps, rows)
    if attention.clip:
        y = _clip(scope, y, attention.clip)
    y = split_heads(body, y, heads, rows)
    if norm == "head":
        y = rms_norm(body, f"{role}_norm", y, scope.weight(f"{role}_norm"), eps, rows)
    return y


def _clip(scope: Scope, x: Value, bound: float) -> Value:
    body = scope.body

    def element(e: Value) -> Value:
        low, high = body.constant(-bound, "f32", "lower"), body.constant(bound, "f32", "upper")
        capped = body.op("e", "f32", f"arith.minimumf {e}, {high} : f32")
        return body.op("e", "f32", f"arith.maximumf {capped}, {low} : f32")

    return elementwise(body, "clipped", [(x, "nd")], (empty(body, x.type.shape, scope.rows), "nd"), element)
