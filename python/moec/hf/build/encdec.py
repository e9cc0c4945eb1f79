# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""An encoder-decoder: a private function for each part of a layer, and two entries over one state.

``encode`` runs whole sources and keeps, for each slot, the source's length and what each layer of the decoder reads of
the encoder's result. ``forward`` is a decoder's: its sequences answer the sources of their slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from moec.hf.build.module import module_text
from moec.hf.build.norm import normalize
from moec.hf.build.scope import Scope, grouped_matmul
from moec.hf.encdec import EncoderDecoder, buckets
from moec.hf.parameters import of_kind
from moec.hf.spec import Norm
from moec.hf.weights import Parameter
from moec.mlir.ops import (
    add_to,
    each,
    elementwise,
    empty,
    gather_rows,
    index_at,
    loop,
    merge_heads,
    size,
    split_heads,
)
from moec.mlir.text import Argument, Body, Shaped, Value, names, types

_INDICES = Shaped((None,), "i32")
_SOURCE = Shaped((None,), "i32", "memref")


def encoder_decoder(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """The module of an encoder-decoder, with the public functions ``encode`` and ``forward``.

    Parameters
    ----------
    parameters : list of Parameter
        What `moec.hf.encdec.encoder_decoder_parameters` says, with dtypes.
    """
    functions = [_encoder(spec, parameters), _decoder(spec, parameters), _cross(spec, parameters)]
    for side, layers in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        kinds = [_dense] * (not all(layers)) + [_sparse] * any(layers)
        functions += [kind(spec, side, parameters) for kind in kinds]
    return module_text(spec, parameters, [*functions, _encode(spec, parameters), _forward(spec, parameters)])


class _Part:
    """A private function under construction: a part of a layer, which adds to x in place.

    Attributes
    ----------
    arguments : dict of str to Value
        Those that the signature adds to the number of the layer and x.
    normed : Value
        x, normalised.
    """

    def __init__(self, spec: EncoderDecoder, name: str, parameters: list[Parameter], **signature: Shaped):
        self._name, self._stream = name, Shaped((None, spec.hidden))
        given = {"l": "index", "x": self._stream} | signature
        self.body = Body([Argument(name, type) for name, type in given.items()])
        self.arguments = dict(self.body.arguments)
        self.layer, self._x = self.arguments.pop("l"), self.arguments.pop("x")
        self.scope = Scope(self.body, size(self.body, self._x, "n"), of_kind(parameters, name), self.layer)
        self.normed = normalize(self.scope, "normed", self._x, "norm", Norm(spec.eps))

    def heads(self, spec: EncoderDecoder, roles: str) -> list[Value]:
        """Queries, keys or values, [N, heads, head_dim]."""
        projections = [self.scope.linear(role, self.normed, role) for role in roles]
        return [split_heads(self.body, x, spec.heads, self.scope.rows) for x in projections]

    def function(self, y: Value) -> str:
        """The text of the function, which returns x + y."""
        x = add_to(self.body, "x", self._x, y)
        return self.body.function(self._name, [(Argument("x", self._stream), x)], private=True)


def _encoder(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """Self-attention of whole sources."""
    cache = _cache(spec, 1)
    signature = {"bias": _bias(spec), "lengths": _INDICES, "cu": _INDICES, "past": _INDICES, "slot": _INDICES}
    part = _Part(spec, "encoder", parameters, **signature, k_cache=cache, v_cache=cache)
    bias, lengths, *place, k_cache, v_cache = part.arguments.values()
    q, k, v = part.heads(spec, "qkv")
    first = part.body.index(0)
    _update(part.body, k, place, k_cache, first)
    _update(part.body, v, place, v_cache, first)
    return part.function(_attend(part, q, place, (k_cache, v_cache), first, lengths=lengths, bias=bias))


def _decoder(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """Causal self-attention over the caches, which it extends."""
    cache = _cache(spec, len(spec.decoder))
    signature = {"bias": _bias(spec), "cu": _INDICES, "past": _INDICES, "slot": _INDICES}
    part = _Part(spec, "decoder", parameters, **signature, k_cache=cache, v_cache=cache)
    bias, *place, k_cache, v_cache = part.arguments.values()
    q, k, v = part.heads(spec, "qkv")
    _update(part.body, k, place, k_cache, part.layer)
    _update(part.body, v, place, v_cache, part.layer)
    return part.function(_attend(part, q, place, (k_cache, v_cache), part.layer, bias=bias))


def _cross(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """Attention to what the encoder made of the source."""
    cache = _cache(spec, len(spec.decoder))
    signature = {"lengths": _INDICES, "cu": _INDICES, "past": _INDICES, "slot": _INDICES}
    part = _Part(spec, "cross", parameters, **signature, k_cache=cache, v_cache=cache)
    lengths, *place, k_cache, v_cache = part.arguments.values()
    (q,) = part.heads(spec, "q")
    return part.function(_attend(part, q, place, (k_cache, v_cache), part.layer, lengths=lengths))


def _dense(spec: EncoderDecoder, side: str, parameters: list[Parameter]) -> str:
    """down(relu(up(x)))."""
    part = _Part(spec, f"{side}_dense", parameters, cu=_INDICES)
    hidden = part.scope.linear("up", part.normed, "up")
    return part.function(part.scope.linear("ffn", _relu(part.body, hidden, part.scope.rows), "down"))


def _sparse(spec: EncoderDecoder, side: str, parameters: list[Parameter]) -> str:
    """The same with the weights of one expert for each token, times its probability; nothing beyond the capacity."""
    part = _Part(spec, f"{side}_sparse", parameters, cu=_INDICES)
    body, scope, x, cu = part.body, part.scope, part.normed, part.arguments["cu"]
    logits = scope.linear("router_logits", x, "router")
    scores = body.op("scores", logits.type, f"moe.score softmax {logits} : {logits.type}")
    chosen = body.op("experts", Shaped((None, 1), "i32"), f"moe.select {scores} top 1 : {scores.type}")
    weights = body.op("weights", Shaped((None, 1)), f"moe.weigh {scores} at {chosen} : {types([scores, chosen])}")
    limit = f"moe.limit {chosen} into {spec.experts} capacity <{spec.capacity}> of({cu} : {cu.type})"
    kept = body.op("kept", chosen.type, f"{limit} : {chosen.type}")
    row = body.value("row", kept.type)
    perm, offsets = body.value("perm", _INDICES), body.value("offsets", Shaped((spec.experts + 1,), "i32"))
    body.line(f"{row}, {perm}, {offsets} = moe.assign {kept} into {spec.experts} : {kept.type}")
    rows = body.op("sorted", x.type, f"moe.dispatch {x} by {perm} top 1 : {types([x, perm])}")
    slots = size(body, rows, "slots")
    hidden = _relu(body, grouped_matmul(body, "up_rows", rows, scope.weight("up"), slots, offsets), slots)
    down = grouped_matmul(body, "down_rows", hidden, scope.weight("down"), slots, offsets)
    return part.function(
        body.op("ffn", x.type, f"moe.combine {down}, {row}, {weights} : {types([down, row, weights])}")
    )


def _relu(body: Body, x: Value, rows: Value) -> Value:
    zero = body.constant(0.0, "f32", "zero")
    return each(body, "hidden", x, rows, lambda e: body.op("e", "f32", f"arith.maximumf {e}, {zero} : f32"))


def _update(body: Body, rows: Value, place: Sequence[Value], cache: Value, layer: Value) -> None:
    inputs = [rows, *place]
    body.line(f"moe.cache_update {names(inputs)} into {cache}[{layer}] : {types(inputs)}, {cache.type}")


def _attend(
    part: _Part, q: Value, place: Sequence[Value], caches: tuple[Value, Value], layer: Value, **operands: Value
) -> Value:
    """The output projection of what the queries see."""
    inputs = [q, *place]
    init = empty(part.body, q.type.shape, part.scope.rows)
    clauses = " ".join(f"{name}({value} : {value.type})" for name, value in operands.items())
    text = (
        f"moe.attention ins({names(inputs)} : {types(inputs)}) cache({names(caches)} at {layer} : {caches[0].type}) "
        f"{clauses} outs({init} : {init.type}) {{scale = 1.0 : f32}} -> {q.type}"
    )
    return part.scope.linear("attn", merge_heads(part.body, part.body.op("attended", q.type, text)), "o")


def _encode(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """The encoder, and keys and values of its result for each layer of the decoder."""
    inputs = _inputs({"tokens": "N", "cu": "B+1", "slot": "B"})
    own = [_state(spec, f"encoder_{name}", 1) for name in ("k", "v")]
    cross = [_state(spec, f"cross_{name}", len(spec.decoder)) for name in ("k", "v")]
    source = Argument("source", _SOURCE, ("slots",))
    body = Body([*inputs, *own, *cross, source])
    tokens, cu, slot, *caches, source = body.arguments.values()
    rows, count = size(body, tokens, "n"), size(body, slot, "b")
    scope = Scope(body, rows, {parameter.name: parameter for parameter in parameters})

    lengths = _each_sequence(body, "lengths", count, lambda b: _rows_of(body, cu, b))
    past = _each_sequence(body, "past", count, lambda b: body.constant("0", "i32", "none"))
    sequence = body.value("s", "index")
    with body.region(f"scf.for {sequence} = {body.index(0)} to {count} step {body.index(1)}"):
        length = body.op("length", "i32", f"tensor.extract {lengths}[{sequence}] : {lengths.type}")
        body.line(f"memref.store {length}, {source}[{index_at(body, 'at', slot, sequence)}] : {source.type}")

    x = gather_rows(body, "embedded", scope.weight("embed" if spec.tied else "encoder_embed"), tokens, rows)
    bias = _biases(spec, scope, "encoder", bidirectional=True)
    place = [cu, past, slot]
    parts = {"encoder": [bias, lengths, *place, *caches[:2]]}
    x = _stack(body, "encoder", spec.encoder, x, parts, cu)
    x = normalize(scope, "normed", x, "encoder_norm", Norm(spec.eps))

    layer = body.value("l", "index")
    depth = body.index(len(spec.decoder))
    with body.region(f"scf.for {layer} = {body.index(0)} to {depth} step {body.index(1)}"):
        reader = Scope(body, rows, of_kind(parameters, "cross"), layer)
        for role, cache in zip("kv", caches[2:]):
            new = split_heads(body, reader.linear(role, x, role), spec.heads, rows)
            _update(body, new, place, cache, layer)
    return body.function("encode", [])


def _forward(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """The decoder: embedding, layers, and the logits of the rows that are asked for."""
    inputs = _inputs({"tokens": "N", "cu": "B+1", "past": "B", "slot": "B", "rows": "R"})
    depth = len(spec.decoder)
    caches = [_state(spec, name, depth) for name in ("k_cache", "v_cache", "cross_k", "cross_v")]
    body = Body([*inputs, *caches, Argument("source", _SOURCE, ("slots",))])
    tokens, cu, past, slot, wanted, *caches, source = body.arguments.values()
    rows = size(body, tokens, "n")
    scope = Scope(body, rows, {parameter.name: parameter for parameter in parameters})

    known = body.op("known", _INDICES, f"bufferization.to_tensor {source} restrict : {source.type} to {_INDICES}")
    lengths = _each_sequence(
        body,
        "lengths",
        size(body, slot, "b"),
        lambda b: body.op("length", "i32", f"tensor.extract {known}[{index_at(body, 'at', slot, b)}] : {_INDICES}"),
    )
    embedding = scope.weight("embed" if spec.tied else "decoder_embed")
    x = gather_rows(body, "embedded", embedding, tokens, rows)
    bias = _biases(spec, scope, "decoder", bidirectional=False)
    place = [cu, past, slot]
    parts = {"decoder": [bias, *place, *caches[:2]], "cross": [lengths, *place, *caches[2:]]}
    x = _stack(body, "decoder", spec.decoder, x, parts, cu)

    scope = Scope(body, size(body, wanted, "r"), scope.parameters)
    x = gather_rows(body, "last", x, wanted, scope.rows)
    x = normalize(scope, "normed", x, "decoder_norm", Norm(spec.eps))
    if spec.logit_scale != 1:
        factor = body.constant(spec.logit_scale, "f32", "logit_scale")
        x = each(body, "scaled", x, scope.rows, lambda e: e * factor)
    head = embedding if spec.tied else scope.weight("head")
    logits = grouped_matmul(body, "logits", x, head, scope.rows)
    return body.function("forward", [(Argument("logits", logits.type, ("R", spec.vocab)), logits)])


def _stack(
    body: Body, side: str, layers: tuple[bool, ...], x: Value, parts: dict[str, list[Value]], cu: Value
) -> Value:
    """All layers: the parts in their order, then a network with or without experts."""

    def call(function: str, layer: Value, x: Value, operands: Sequence[Value]) -> Value:
        inputs = [layer, x, *operands]
        return body.op("y", x.type, f"func.call @{function}({names(inputs)}) : ({types(inputs)}) -> {x.type}")

    def step(depth: Value, x: Value) -> Value:
        for function, operands in parts.items():
            x = call(function, depth, x, operands)
        kinds = [f"{side}_dense", f"{side}_sparse"]
        if len(set(layers)) == 1:
            return call(kinds[layers[0]], depth, x, [cu])
        kind = _look_up(body, "kind", list(map(int, layers)), depth)
        ordinal = _look_up(body, "l", [layers[:at].count(has) for at, has in enumerate(layers)], depth)
        result = body.value("y", x.type)
        body.line(f"{result} = scf.index_switch {kind} -> {x.type}")
        for head, function in zip(("case 0", "default"), kinds):
            with body.region(head):
                y = call(function, ordinal, x, [cu])
                body.line(f"scf.yield {y} : {x.type}")
        return result

    return loop(body, "x", body.index(len(layers)), x, step)


def _look_up(body: Body, hint: str, numbers: list[int], depth: Value) -> Value:
    """The number for a depth."""
    table = body.constant(f"dense<{numbers}>", Shaped((len(numbers),), "index"), f"{hint}_table")
    return body.op(hint, "index", f"tensor.extract {table}[{depth}] : {table.type}")


def _each_sequence(body: Body, hint: str, count: Value, element: Callable[[Value], Value]) -> Value:
    """A vector of i32 with one element for each sequence, a function of its number."""
    init = body.op("init", _INDICES, f"tensor.empty({count}) : {_INDICES}")

    def at_own_number() -> Value:
        return element(body.op("s", "index", "linalg.index 0 : index"))

    return elementwise(body, hint, [], (init, "b"), at_own_number)


def _rows_of(body: Body, cu: Value, sequence: Value) -> Value:
    """Number of rows of a sequence, as i32."""
    following = body.op("following", "index", f"arith.addi {sequence}, {body.index(1)} : index")
    begin, end = (body.op("bound", "i32", f"tensor.extract {cu}[{at}] : {cu.type}") for at in (sequence, following))
    return body.op("length", "i32", f"arith.subi {end}, {begin} : i32")


def _biases(spec: EncoderDecoder, scope: Scope, side: str, bidirectional: bool) -> Value:
    """The bias of each head and distance."""
    body, numbers = scope.body, buckets(spec, bidirectional)
    table = body.constant(f"dense<{numbers}>", Shaped((len(numbers),), "i32"), "buckets")
    weight, type = scope.weight(f"{side}_bias"), _bias(spec)
    init = body.op("init", type, f"tensor.empty() : {type}")

    def element(bucket: Value) -> Value:
        row = body.op("row", "index", f"arith.index_cast {bucket} : i32 to index")
        head = body.op("head", "index", "linalg.index 0 : index")
        e = body.op("e", weight.type.dtype, f"tensor.extract {weight}[{row}, {head}] : {weight.type}")
        return e if e.type == "f32" else body.op("e", "f32", f"arith.extf {e} : {e.type} to f32")

    return elementwise(body, "biases", [(table, "r")], (init, "hr"), element)


def _inputs(extents: dict[str, str]) -> list[Argument]:
    return [Argument(name, _INDICES, (extent,)) for name, extent in extents.items()]


def _state(spec: EncoderDecoder, name: str, depth: int) -> Argument:
    return Argument(name, _cache(spec, depth), (depth, "slots", "max_len", spec.heads, spec.head_dim))


def _cache(spec: EncoderDecoder, depth: int) -> Shaped:
    return Shaped((depth, None, None, spec.heads, spec.head_dim), container="memref")


def _bias(spec: EncoderDecoder) -> Shaped:
    return Shaped((spec.heads, 2 * spec.max_distance + 1))
