# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A whole decoder: one private function for each kind of layer, and the entry that loops over the depth.

The entry takes tokens of many sequences, concatenated, so that a prompt, a part of one, a single next token and any
mixture of them are the same call. Text does not grow with the number of layers or experts.
"""

from __future__ import annotations

import dataclasses
from functools import partial

from moec.hf.build.attention import Sequences, attend
from moec.hf.build.ffn import network
from moec.hf.build.latent import attend_latent
from moec.hf.build.mixture import attend_mixture
from moec.hf.build.module import module_text
from moec.hf.build.norm import normalize
from moec.hf.build.rope import positions, tables
from moec.hf.build.scope import Scope
from moec.hf.parameters import kind_names, of_kind
from moec.hf.spec import Latent, Layer, Mixture, Spec
from moec.hf.weights import Parameter
from moec.mlir.ops import add_to, each, extended, gather_rows, generic, look_up, loop, size, switch
from moec.mlir.scalar import softcap
from moec.mlir.text import Argument, Body, Shaped, Value, names, types

_INDICES = Shaped((None,), "i32")


def decoder(spec: Spec, parameters: list[Parameter]) -> str:
    """The module of a decoder, with one public function ``forward``.

    Parameters
    ----------
    parameters : list of Parameter
        What `moec.hf.parameters.parameters` says, with dtypes.
    """
    layers = [_layer(spec, kind, layer, parameters) for kind, layer in zip(kind_names(spec), spec.kinds)]
    return module_text(spec, parameters, [*layers, _forward(spec, parameters)])


def _layer(spec: Spec, name: str, layer: Layer, parameters: list[Parameter]) -> str:
    """The function of one kind of layer, which adds attention and network to x in place."""
    stream, rope = Shaped((None, spec.hidden)), layer.attention.rope
    tables = dict.fromkeys(("cos", "sin"), Shaped((None, rope.dim // 2))) if rope else {}
    caches = _cache_types(layer, len(spec.kinds[layer]))
    signature = {"l": "index", "x": stream, **tables}
    signature |= {"cu": _INDICES, "past": _INDICES, "slot": _INDICES, **caches}
    body = Body([Argument(name, type) for name, type in signature.items()])
    arguments = dict(body.arguments)
    ordinal, x = arguments.pop("l"), arguments.pop("x")
    kept = [arguments.pop(name) for name in caches]
    scope = Scope(body, size(body, x, "n"), of_kind(parameters, name), ordinal)

    own = len(layer.attention.caches)
    x, read = _sublayer(spec, scope, x, layer, Sequences(caches=kept[:own], **arguments))
    y = network(scope, read, layer.shortcut, x, spec.norm) if layer.shortcut else None
    if layer.then:
        scope = dataclasses.replace(scope, prefix="then_")
        x, _ = _sublayer(spec, scope, x, layer.then, Sequences(caches=kept[own:], **arguments))
    if y:
        x = add_to(body, "x", x, y)
    return body.function(name, [(Argument("x", stream), x)], private=True)


def _sublayer(spec: Spec, scope: Scope, x: Value, layer: Layer, sequences: Sequences) -> tuple[Value, Value]:
    """Attention and network, both added to the residual stream; also returns what the network read."""
    body = scope.body

    def norm(role: str, x: Value) -> Value:
        return normalize(scope, f"{role}ed", x, role, spec.norm) if role in layer.norms else x

    normed = norm("attn_norm", x)
    if isinstance(layer.attention, Latent):
        y = attend_latent(scope, normed, layer.attention, sequences)
    elif isinstance(layer.attention, Mixture):
        y = attend_mixture(scope, normed, layer.attention, sequences)
    else:
        y = attend(scope, normed, layer.attention, sequences, spec.norm.eps)
    x = add_to(body, "x", x, norm("attn_post_norm", y), layer.residual)
    read = normed if layer.parallel else norm("ffn_norm", x)
    y = network(scope, read, layer.ffn, x, spec.norm)
    x = add_to(body, "x", x, norm("ffn_post_norm", y), layer.residual)
    if layer.scaled:
        factor = scope.weight("scale")
        text = f"tensor.extract {factor}[{body.index(0)}] : {factor.type}"
        factor = extended(body.op("factor", factor.type.dtype, text))
        x = generic(body, "x", "nd", [], (x, "nd"), lambda e: e * factor)
    return x, read


def _forward(spec: Spec, parameters: list[Parameter]) -> str:
    """The entry: embedding, layers, and the logits of the rows that are asked for."""
    extents = {"tokens": "N", "cu": "B+1", "past": "B", "slot": "B", "rows": "R"}
    indices = [Argument(name, _INDICES, (extent,)) for name, extent in extents.items()]
    caches = _caches(spec)
    body = Body([*indices, *(cache for pair in caches for cache in pair)])
    tokens, cu, past, slot, wanted = (body.arguments[argument.name] for argument in indices)
    rows = size(body, tokens, "n")
    scope = Scope(body, rows, {parameter.name: parameter for parameter in parameters})

    places = positions(body, cu, past, rows) if spec.ropes else None
    angles = {rope: tables(body, rope, places, rows) for rope in spec.ropes}
    embedding = scope.weight("embed")
    x = gather_rows(body, "embedded", embedding, tokens, rows)
    if spec.embedding_scale != 1:
        x = each(body, "scaled", x, rows, lambda e: e * body.constant(spec.embedding_scale, "f32", "embedding_scale"))
    calls = [
        _Call(kind, [*angles.get(layer.attention.rope, ()), cu, past, slot, *(body.arguments[c.name] for c in own)])
        for kind, layer, own in zip(kind_names(spec), spec.kinds, caches)
    ]
    x = loop(body, "x", body.index(len(spec.layers)), x, lambda depth, x: _step(spec, body, depth, x, calls))

    scope = dataclasses.replace(scope, rows=size(body, wanted, "r"))
    x = gather_rows(body, "last", x, wanted, scope.rows)
    x = normalize(scope, "normed", x, "norm", dataclasses.replace(spec.norm, eps=spec.last_eps or spec.norm.eps))
    logits = _logits(spec, scope, x, embedding)
    return body.function("forward", [(Argument("logits", logits.type, ("R", spec.vocab)), logits)])


def _logits(spec: Spec, scope: Scope, x: Value, embedding: Value) -> Value:
    """The output projection, its scale and its bound."""
    body = scope.body
    logits = scope.linear("logits", x, "head", embedding if spec.tied else None)
    if spec.logit_scale != 1:
        factor = body.constant(spec.logit_scale, "f32", "logit_scale")
        logits = each(body, "logits", logits, scope.rows, lambda e: e * factor)
    if spec.softcap:
        logits = each(body, "logits", logits, scope.rows, lambda e: softcap(e, spec.softcap))
    return logits


@dataclasses.dataclass(frozen=True)
class _Call:
    """The function of a kind of layer, and what it takes beside the layer's number and the residual stream."""

    callee: str
    operands: list[Value]


def _step(spec: Spec, body: Body, depth: Value, x: Value, calls: list[_Call]) -> Value:
    """One layer. Where there are several kinds, a table says which it is, and another which one of its kind."""

    def call(kind: int, ordinal: Value) -> Value:
        operands = [ordinal, x, *calls[kind].operands]
        callee = calls[kind].callee
        return body.op("y", x.type, f"func.call @{callee}({names(operands)}) : ({types(operands)}) -> {x.type}")

    if len(calls) == 1:
        return call(0, depth)
    order = list(spec.kinds)
    kind = look_up(body, "kind", [order.index(layer) for layer in spec.layers], depth)
    ordinals = [spec.kinds[layer].index(at) for at, layer in enumerate(spec.layers)]
    ordinal = look_up(body, "l", ordinals, depth)
    return switch(body, "y", kind, x.type, [partial(call, number, ordinal) for number in range(len(calls))])


def _caches(spec: Spec) -> list[list[Argument]]:
    """What each kind of layer keeps of each position, numbered if there are several kinds."""
    caches = []
    for number, (layer, depths) in enumerate(spec.kinds.items()):
        suffix = number if len(spec.kinds) > 1 else ""
        types = _cache_types(layer, len(depths)).items()
        caches.append(
            [
                Argument(f"{name}{suffix}", type, (len(depths), "slots", type.shape[2], "max_len", type.shape[4]))
                for name, type in types
            ]
        )
    return caches


def _cache_types(layer: Layer, depth: int) -> dict[str, Shaped]:
    caches = layer.attention.caches
    if layer.then:
        caches = caches | {f"then_{name}": extents for name, extents in layer.then.attention.caches.items()}
    return {
        name: Shaped((depth, None, heads, None, size), container="memref") for name, (heads, size) in caches.items()
    }
