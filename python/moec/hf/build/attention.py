# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The attention of a layer: projections, norms, rotation, cache, output projection."""

from __future__ import annotations

from dataclasses import dataclass

from moec.hf.build.norm import normalize
from moec.hf.build.rope import rotate
from moec.hf.build.scope import Scope
from moec.hf.spec import Attention, Norm
from moec.mlir.ops import each, elementwise, empty, merge_heads, split_heads
from moec.mlir.scalar import sigmoid, softplus
from moec.mlir.text import Value, float_literal, names, types


@dataclass(frozen=True)
class Sequences:
    """Which rows belong to which sequence, where they are in it, and where its past is kept.

    Attributes
    ----------
    cu, past, slot : Value
        [B+1], [B], [B] i32: sequence b owns rows cu[b] to cu[b+1], continues after past[b] tokens, and is kept in row
        slot[b] of the caches.
    k_cache, v_cache : Value
        Memrefs [layers, slots, max_len, kv_heads, head_dim] f32.
    cos, sin : Value or None
        [N, dim / 2] f32: each row's rotary tables, where positions are encoded.
    """

    cu: Value
    past: Value
    slot: Value
    k_cache: Value
    v_cache: Value
    cos: Value | None = None
    sin: Value | None = None


def attend(scope: Scope, x: Value, attention: Attention, sequences: Sequences, eps: float) -> Value:
    """Causal attention of x [N, hidden] over the caches, which it extends."""
    body, rows = scope.body, scope.rows
    q, k, v = (_project(scope, x, role, attention, sequences, eps) for role in "qkv")
    for new, cache in ((k, sequences.k_cache), (v, sequences.v_cache)):
        inputs = [new, sequences.cu, sequences.past, sequences.slot]
        body.line(f"moe.cache_update {names(inputs)} into {cache}[{scope.layer}] : {types(inputs)}, {cache.type}")
    inputs = [q, sequences.cu, sequences.past, sequences.slot]
    init = empty(body, q.type.shape, rows)
    sinks = ""
    if attention.sinks:
        logits = scope.weight("sinks")
        sinks = f"sinks({logits} : {logits.type}) "
    attended = body.op(
        "attended",
        q.type,
        f"moe.attention ins({names(inputs)} : {types(inputs)}) "
        f"cache({sequences.k_cache}, {sequences.v_cache} at {scope.layer} : {sequences.k_cache.type}) "
        f"{sinks}outs({init} : {init.type}) {{{_settings(attention)}}} -> {q.type}",
    )
    if attention.gate:
        attended = _gated(scope, x, attended, attention)
    return scope.linear("attn", merge_heads(body, attended), "o")


def _settings(attention: Attention) -> str:
    """Attributes of the operation."""
    settings = f"scale = {float_literal(attention.scale or attention.head_dim**-0.5)} : f32"
    if attention.softcap:
        settings += f", softcap = {float_literal(attention.softcap)} : f32"
    for name, extent in (("window", attention.window), ("chunk", attention.chunk)):
        if extent:
            settings += f", {name} = {extent} : i64"
    return settings


def _project(scope: Scope, x: Value, role: str, attention: Attention, sequences: Sequences, eps: float) -> Value:
    """Query, key or value of each row, [N, heads, head_dim]; values are neither normalised nor rotated."""
    body, rows = scope.body, scope.rows
    heads = attention.heads if role == "q" else attention.kv_heads
    span = attention.qk_norm if role != "v" else None

    def norm(y: Value) -> Value:
        return normalize(scope, f"{role}_norm", y, f"{role}_norm", Norm(eps))

    y = scope.linear(role, x, role)
    if span == "projection":
        y = norm(y)
    if attention.clip:
        y = _clip(scope, y, attention.clip)
    y = split_heads(body, y, heads, rows)
    if span == "head" and not attention.norm_after_rope:
        y = norm(y)
    if attention.rope and role != "v":
        y = rotate(body, y, sequences.cos, sequences.sin, rows, attention.rope.interleaved)
    if span == "head" and attention.norm_after_rope:
        y = norm(y)
    return y


def _gated(scope: Scope, x: Value, attended: Value, attention: Attention) -> Value:
    """What was attended, times a function of another projection of x."""
    body, rows = scope.body, scope.rows
    gate, letters = scope.linear("gate", x, "attn_gate"), "nh"
    if not attention.gate_per_head:
        gate, letters = split_heads(body, gate, attention.heads, rows), "nhd"
    function = {"sigmoid": sigmoid, "softplus": softplus}[attention.gate]
    ins = [(attended, "nhd"), (gate, letters)]
    return elementwise(
        body, "gated", ins, (empty(body, attended.type.shape, rows), "nhd"), lambda e, g: e * function(g)
    )


def _clip(scope: Scope, x: Value, bound: float) -> Value:
    body = scope.body

    def element(e: Value) -> Value:
        low, high = body.constant(-bound, "f32", "lower"), body.constant(bound, "f32", "upper")
        capped = body.op("e", "f32", f"arith.minimumf {e}, {high} : f32")
        return body.op("e", "f32", f"arith.maximumf {capped}, {low} : f32")

    return each(body, "clipped", x, scope.rows, element)
