# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The attention of a layer: projections, norms, rotation, cache, output projection."""

from __future__ import annotations

from dataclasses import dataclass

from moec.hf.build.norm import normalize
from moec.hf.build.rope import positions, rotate
from moec.hf.build.scope import Scope
from moec.hf.spec import Attention, Norm, Temperature
from moec.mlir.ops import cut, each, elementwise, empty, merge_heads, split_heads, write, zero_filled
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
    caches : list of Value
        Memrefs [layers, slots, max_len, heads, channels] f32: of keys and of values, or one of both.
    cos, sin : Value or None
        [N, dim / 2] f32: each row's rotary tables, where positions are encoded.
    """

    cu: Value
    past: Value
    slot: Value
    caches: list[Value]
    cos: Value | None = None
    sin: Value | None = None


def attend(scope: Scope, x: Value, attention: Attention, sequences: Sequences, eps: float) -> Value:
    """Causal attention of x [N, hidden] over the caches, which it extends."""
    body = scope.body
    q, k, v = (_project(scope, x, role, attention, sequences, eps) for role in "qkv")
    for new, cache in zip((k, v), sequences.caches):
        update(scope, new, cache, sequences)
    sinks = scope.weight("sinks") if attention.sinks else None
    attended = read(scope, q, sequences, settings(attention), sinks)
    if attention.v_dim:
        attended = cut(body, "attended", attended, [0, 0, 0], [scope.rows, attention.heads, attention.v_dim])
    if attention.gate:
        attended = _gated(scope, x, attended, attention)
    return scope.linear("attn", merge_heads(body, attended), "o")


def update(scope: Scope, rows: Value, cache: Value, sequences: Sequences) -> None:
    """Write the rows [N, heads, channels] to the places of their positions."""
    inputs = [rows, sequences.cu, sequences.past, sequences.slot]
    scope.body.line(f"moe.cache_update {names(inputs)} into {cache}[{scope.layer}] : {types(inputs)}, {cache.type}")


def read(scope: Scope, q: Value, sequences: Sequences, settings: str, sinks: Value | None = None) -> Value:
    """What queries [N, heads, channels] attend to in the caches."""
    inputs, (k_cache, v_cache) = [q, sequences.cu, sequences.past, sequences.slot], (sequences.caches * 2)[:2]
    init = empty(scope.body, q.type.shape, scope.rows)
    joined = f"sinks({sinks} : {sinks.type}) " if sinks else ""
    return scope.body.op(
        "attended",
        q.type,
        f"moe.attention ins({names(inputs)} : {types(inputs)}) "
        f"cache({k_cache}, {v_cache} at {scope.layer} : {k_cache.type}) "
        f"{joined}outs({init} : {init.type}) {{{settings}}} -> {q.type}",
    )


def settings(attention: Attention) -> str:
    """Attributes of the operation."""
    text = f"scale = {float_literal(attention.scale or attention.head_dim**-0.5)} : f32"
    if attention.softcap:
        text += f", softcap = {float_literal(attention.softcap)} : f32"
    for name, extent in (("window", attention.window), ("chunk", attention.chunk)):
        if extent:
            text += f", {name} = {extent} : i64"
    return text


def _project(scope: Scope, x: Value, role: str, attention: Attention, sequences: Sequences, eps: float) -> Value:
    """Query, key or value of each row, [N, heads, head_dim]."""
    body, rows = scope.body, scope.rows
    heads = attention.heads if role == "q" else attention.kv_heads
    span = attention.qk_norm if role != "v" else None
    weight = None if span == "plain head" else f"{role}_norm"

    def norm(y: Value) -> Value:
        return normalize(scope, f"{role}_norm", y, weight, Norm(eps))

    y = scope.linear(role, x, "k" if role == "v" and attention.v_of_k else role)
    if span == "projection":
        y = norm(y)
    if attention.clip:
        y = _clip(scope, y, attention.clip)
    y = split_heads(body, y, heads, rows)
    if role == "v":
        return _values(scope, y, attention, eps)
    by_head = span in ("head", "plain head")
    if by_head and not attention.norm_after_rope:
        y = norm(y)
    if attention.rope:
        y = rotate(body, y, sequences.cos, sequences.sin, rows, attention.rope.interleaved)
    if by_head and attention.norm_after_rope:
        y = norm(y)
    if role == "q" and attention.temperature:
        y = tempered(scope, y, attention.temperature, sequences)
    return y


def _values(scope: Scope, v: Value, attention: Attention, eps: float) -> Value:
    """Values normalised, times their factor, and with zeros where keys have more channels."""
    body, (_, heads, channels) = scope.body, v.type.shape
    if attention.v_norm:
        v = normalize(scope, "v_norm", v, None, Norm(eps))
    if attention.v_scale != 1:
        out, factor = (empty(body, v.type.shape, scope.rows), "nhd"), body.constant(attention.v_scale, "f32", "v_scale")
        v = elementwise(body, "scaled", [(v, "nhd")], out, lambda e: e * factor)
    if channels == attention.head_dim:
        return v
    wide = zero_filled(body, (None, heads, attention.head_dim), scope.rows)
    return write(body, "widened", [(v, "nhd")], (wide, "nhd"), [0, 0, 0], [scope.rows, heads, channels])


def tempered(scope: Scope, q: Value, temperature: Temperature, sequences: Sequences) -> Value:
    """Queries times a function of their positions."""
    body, rows = scope.body, scope.rows

    def element(e: Value, position: Value) -> Value:
        one, first, period = (
            body.constant(float(number), "f32", hint)
            for hint, number in (("one", 1), ("first", temperature.first), ("period", temperature.period))
        )
        periods = body.op("periods", "f32", f"math.floor {(position + first) / period} : f32")
        growth = body.op("growth", "f32", f"math.log1p {periods} : f32")
        return e * (growth * body.constant(temperature.scale, "f32", "growth_scale") + one)

    ins = [(q, "nhd"), (positions(body, sequences.cu, sequences.past, rows), "n")]
    return elementwise(body, "tempered", ins, (empty(body, q.type.shape, rows), "nhd"), element)


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
