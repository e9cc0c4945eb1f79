# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A whole decoder: one private function for each kind of layer, and the entry that loops over the depth.

The entry takes tokens of many sequences, concatenated, so that a prompt, a part of one, a single next token and any
mixture of them are the same call. Text does not grow with the number of layers or experts.
"""

from __future__ import annotations

from moec.hf.build import ffn
from moec.hf.build.attention import Sequences, attend
from moec.hf.build.module import module_text
from moec.hf.build.norm import rms_norm
from moec.hf.build.rope import positions, tables
from moec.hf.build.scope import Scope, grouped_matmul
from moec.hf.parameters import Parameter, kind_names, of_kind
from moec.hf.spec import Layer, Sparse, Spec
from moec.mlir.ops import add_to, gather_rows, loop, size
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
    """The function of one kind of layer: x += attention(norm(x)), then x += network(norm(x)), both in place."""
    stream, table = Shaped((None, spec.hidden)), Shaped((None, spec.rope.dim // 2))
    cache = _cache_type(layer, len(spec.kinds[layer]))
    signature = {"l": "index", "x": stream, "cos": table, "sin": table}
    signature |= {"cu": _INDICES, "past": _INDICES, "slot": _INDICES, "k_cache": cache, "v_cache": cache}
    body = Body([Argument(name, type) for name, type in signature.items()])
    arguments = dict(body.arguments)
    ordinal, x = arguments.pop("l"), arguments.pop("x")
    sequences = Sequences(**arguments)
    rows = size(body, x, "n")
    scope = Scope(body, rows, of_kind(parameters, name), ordinal)

    normed = rms_norm(body, "attn_normed", x, scope.weight("attn_norm"), spec.eps, rows)
    x = add_to(body, "x", x, attend(scope, normed, layer.attention, sequences, spec.eps))
    normed = rms_norm(body, "ffn_normed", x, scope.weight("ffn_norm"), spec.eps, rows)
    if isinstance(layer.ffn, Sparse):
        y = ffn.sparse(scope, normed, layer.ffn)
    else:
        y = ffn.dense(scope, normed)
    x = add_to(body, "x", x, y)
    return body.function(name, [(Argument("x", stream), x)], private=True)


def _forward(spec: Spec, parameters: list[Parameter]) -> str:
    """The entry: embedding, layers, and the logits of the rows that are asked for."""
    extents = {"tokens": "N", "cu": "B+1", "past": "B", "slot": "B", "rows": "R"}
    indices = [Argument(name, _INDICES, (extent,)) for name, extent in extents.items()]
    caches = _caches(spec)
    body = Body([*indices, *(cache for pair in caches for cache in pair)])
    tokens, cu, past, slot, wanted = (body.arguments[argument.name] for argument in indices)
    rows = size(body, tokens, "n")
    scope = Scope(body, rows, {parameter.name: parameter for parameter in parameters})

    cos, sin = tables(body, spec.rope, positions(body, cu, past, rows), rows)
    embedding = scope.weight("embed")
    x = gather_rows(body, "embedded", embedding, tokens, rows)
    shared = [cos, sin, cu, past, slot]
    x = loop(body, "x", body.index(len(spec.layers)), x, lambda depth, x: _step(spec, body, depth, x, shared, caches))

    count = size(body, wanted, "r")
    x = gather_rows(body, "last", x, wanted, count)
    x = rms_norm(body, "normed", x, scope.weight("norm"), spec.eps, count)
    head = embedding if spec.tied else scope.weight("head")
    logits = grouped_matmul(body, "logits", x, head, count)
    return body.function("forward", [(Argument("logits", logits.type, ("R", spec.vocab)), logits)])


def _step(spec: Spec, body: Body, depth: Value, x: Value, shared: list[Value], caches: list[list[Argument]]) -> Value:
    """One layer. Where there are several kinds, a table says which it is, and another which one of its kind."""

    def call(kind: int, ordinal: Value) -> Value:
        operands = [ordinal, x, *shared, *(body.arguments[cache.name] for cache in caches[kind])]
        callee = kind_names(spec)[kind]
        return body.op("y", x.type, f"func.call @{callee}({names(operands)}) : ({types(operands)}) -> {x.type}")

    if len(caches) == 1:
        return call(0, depth)
    order = list(spec.kinds)
    kind = _look_up(body, "kind", [order.index(layer) for layer in spec.layers], depth)
    ordinals = [spec.kinds[layer].index(at) for at, layer in enumerate(spec.layers)]
    ordinal = _look_up(body, "l", ordinals, depth)
    result = body.value("y", x.type)
    body.line(f"{result} = scf.index_switch {kind} -> {x.type}")
    for number in range(len(caches)):
        last = number == len(caches) - 1
        with body.region("default" if last else f"case {number}"):
            y = call(number, ordinal)
            body.line(f"scf.yield {y} : {x.type}")
    return result


def _look_up(body: Body, hint: str, numbers: list[int], depth: Value) -> Value:
    """The number for a depth."""
    table = body.constant(f"dense<{numbers}>", Shaped((len(numbers),), "index"), f"{hint}_table")
    return body.op(hint, "index", f"tensor.extract {table}[{depth}] : {table.type}")


def _caches(spec: Spec) -> list[list[Argument]]:
    """Caches of keys and of values for each kind of layer, numbered if there are several kinds."""
    caches = []
    for number, (layer, depths) in enumerate(spec.kinds.items()):
        type = _cache_type(layer, len(depths))
        dims = (len(depths), "slots", "max_len", *type.shape[3:])
        suffix = number if len(spec.kinds) > 1 else ""
        caches.append([Argument(f"{name}{suffix}", type, dims) for name in ("k_cache", "v_cache")])
    return caches


def _cache_type(layer: Layer, depth: int) -> Shaped:
    return Shaped((depth, None, None, layer.attention.kv_heads, layer.attention.head_dim), container="memref")
