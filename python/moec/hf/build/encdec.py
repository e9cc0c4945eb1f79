# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""An encoder-decoder: two entries over one state.

``encode`` runs whole sources and keeps, for each slot, the source's length and what each layer of the decoder reads of
the encoder's result. ``forward`` is a decoder's: its sequences answer the sources of their slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from moec.hf.build.encdec_parts import INDICES, bias_type, cache_type, parts, update
from moec.hf.build.module import module_text
from moec.hf.build.norm import normalize
from moec.hf.build.rope import positions
from moec.hf.build.scope import Scope, grouped_matmul
from moec.hf.encdec import Buckets, EncoderDecoder, Side, Sinusoids
from moec.hf.parameters import of_kind
from moec.hf.weights import Parameter
from moec.mlir.ops import (
    each,
    elementwise,
    empty,
    extended,
    gather_rows,
    index_at,
    look_up,
    loop,
    size,
    split_heads,
    switch,
)
from moec.mlir.text import Argument, Body, Shaped, Value, float_literal, names, types

_SOURCE = Argument("source", Shaped((None,), "i32", "memref"), ("slots",))


def encoder_decoder(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """The module of an encoder-decoder, with the public functions ``encode`` and ``forward``.

    Parameters
    ----------
    parameters : list of Parameter
        What `moec.hf.encdec.encoder_decoder_parameters` says, with dtypes.
    """
    entries = [_encode(spec, parameters), _forward(spec, parameters)]
    return module_text(spec, parameters, [*parts(spec, parameters), *entries])


def _encode(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """The encoder, and keys and values of its result for each layer of the decoder."""
    depth = len(spec.decoder.sparse)
    own = [_state(spec.encoder, name, 1) for name in ("encoder_k", "encoder_v")]
    cross = [_state(spec.decoder, name, depth) for name in ("cross_k", "cross_v")]
    body = Body([*_inputs({"tokens": "N", "cu": "B+1", "slot": "B"}), *own, *cross, _SOURCE])
    tokens, cu, slot, *caches, source = body.arguments.values()
    rows, count = size(body, tokens, "n"), size(body, slot, "b")
    scope = Scope(body, rows, {parameter.name: parameter for parameter in parameters})

    lengths = _each_sequence(body, "lengths", count, lambda b: _rows_of(body, cu, b))
    with _each(body, "b", count) as b:
        length = body.op("length", "i32", f"tensor.extract {lengths}[{b}] : {lengths.type}")
        body.line(f"memref.store {length}, {source}[{index_at(body, 'at', slot, b)}] : {source.type}")

    past = _each_sequence(body, "past", count, lambda b: body.constant("0", "i32", "none"))
    place = [cu, past, slot]
    x = _embed(spec, scope, scope.weight("embed" if spec.tied else "encoder_embed"), tokens, cu, past)
    bias = _biases(spec, scope, "encoder", bidirectional=True)
    x = _stack(spec, body, "encoder", x, {"encoder": [*bias, lengths, *place, *caches[:2]]}, cu)
    x = normalize(scope, "normed", x, "encoder_norm", spec.norm)

    with _each(body, "l", body.index(depth)) as layer:
        reader = Scope(body, rows, of_kind(parameters, "cross"), layer)
        for role, cache in zip("kv", caches[2:]):
            new = split_heads(body, reader.linear(role, x, role), spec.decoder.heads, rows)
            update(body, new, place, cache, layer)
    return body.function("encode", [])


def _forward(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """The decoder: embedding, layers, and the logits of the rows that are asked for."""
    depth = len(spec.decoder.sparse)
    caches = [_state(spec.decoder, name, depth) for name in ("k_cache", "v_cache", "cross_k", "cross_v")]
    inputs = _inputs({"tokens": "N", "cu": "B+1", "past": "B", "slot": "B", "rows": "R"})
    body = Body([*inputs, *caches, _SOURCE])
    tokens, cu, past, slot, wanted, *caches, source = body.arguments.values()
    scope = Scope(body, size(body, tokens, "n"), {parameter.name: parameter for parameter in parameters})

    known = body.op("known", INDICES, f"bufferization.to_tensor {source} restrict : {source.type} to {INDICES}")

    def length(b: Value) -> Value:
        return body.op("length", "i32", f"tensor.extract {known}[{index_at(body, 'at', slot, b)}] : {known.type}")

    lengths = _each_sequence(body, "lengths", size(body, slot, "b"), length)
    embedding = scope.weight("embed" if spec.tied else "decoder_embed")
    x = _embed(spec, scope, embedding, tokens, cu, past)
    bias, place = _biases(spec, scope, "decoder", bidirectional=False), [cu, past, slot]
    operands = {"decoder": [*bias, *place, *caches[:2]], "cross": [lengths, *place, *caches[2:]]}
    x = _stack(spec, body, "decoder", x, operands, cu)

    scope = Scope(body, size(body, wanted, "r"), scope.parameters)
    x = gather_rows(body, "last", x, wanted, scope.rows)
    x = _scaled(scope, normalize(scope, "normed", x, "decoder_norm", spec.norm), spec.logit_scale)
    head = embedding if spec.tied else scope.weight("head")
    logits = grouped_matmul(body, "logits", x, head, scope.rows)
    return body.function("forward", [(Argument("logits", logits.type, ("R", spec.vocab)), logits)])


def _embed(spec: EncoderDecoder, scope: Scope, embedding: Value, tokens: Value, cu: Value, past: Value) -> Value:
    """Embeddings of the tokens, and of their positions where these are waves."""
    body, rows = scope.body, scope.rows
    x = _scaled(scope, gather_rows(body, "embedded", embedding, tokens, rows), spec.embedding_scale)
    if not isinstance(spec.positions, Sinusoids):
        return x
    waves, half = spec.positions, body.index(spec.hidden // 2)
    literal = f"dense<[{', '.join(map(float_literal, waves.frequencies(spec.hidden)))}]>"
    frequencies = body.constant(literal, Shaped((spec.hidden,)), "frequencies")

    def element(e: Value, token: Value, position: Value, frequency: Value) -> Value:
        angle = (position + body.constant(float(waves.offset), "f32", "offset")) * frequency
        sine, cosine = (body.op(name, "f32", f"math.{name} {angle} : f32") for name in ("sin", "cos"))
        channel = body.op("d", "index", "linalg.index 1 : index")
        first = body.op("first", "i1", f"arith.cmpi ult, {channel}, {half} : index")
        wave = body.op("wave", "f32", f"arith.select {first}, {sine}, {cosine} : f32")
        pad, zero = body.constant(str(waves.pad), "i32", "pad"), body.constant(0.0, "f32", "zero")
        padding = body.op("padding", "i1", f"arith.cmpi eq, {token}, {pad} : i32")
        return e + body.op("wave", "f32", f"arith.select {padding}, {zero}, {wave} : f32")

    ins = [(x, "nd"), (tokens, "n"), (positions(body, cu, past, rows), "n"), (frequencies, "d")]
    return elementwise(body, "placed", ins, (empty(body, x.type.shape, rows), "nd"), element)


def _stack(
    spec: EncoderDecoder, body: Body, name: str, x: Value, attention: dict[str, list[Value]], cu: Value
) -> Value:
    """All layers of a side: functions of attention with their operands, then a network with or without experts."""

    def call(function: str, layer: Value, x: Value, operands: Sequence[Value]) -> Value:
        inputs = [layer, x, *operands]
        return body.op("y", x.type, f"func.call @{function}({names(inputs)}) : ({types(inputs)}) -> {x.type}")

    sparse, kinds = spec.sides[name].sparse, [f"{name}_dense", f"{name}_sparse"]

    def step(depth: Value, x: Value) -> Value:
        for function, operands in attention.items():
            x = call(function, depth, x, operands)
        if len(set(sparse)) == 1:
            return call(kinds[sparse[0]], depth, x, [cu])
        kind = look_up(body, "kind", list(map(int, sparse)), depth)
        ordinal = look_up(body, "l", [sparse[:at].count(has) for at, has in enumerate(sparse)], depth)
        return switch(body, "y", kind, x.type, [partial(call, function, ordinal, x, [cu]) for function in kinds])

    return loop(body, "x", body.index(len(sparse)), x, step)


@contextmanager
def _each(body: Body, hint: str, count: Value) -> Iterator[Value]:
    """A loop without results over the indices below `count`."""
    i = body.value(hint, "index")
    with body.region(f"scf.for {i} = {body.index(0)} to {count} step {body.index(1)}"):
        yield i


def _each_sequence(body: Body, hint: str, count: Value, element: Callable[[Value], Value]) -> Value:
    """A vector of i32 with one element for each sequence, a function of its number."""
    init = body.op("init", INDICES, f"tensor.empty({count}) : {INDICES}")

    def at_own_number() -> Value:
        return element(body.op("b", "index", "linalg.index 0 : index"))

    return elementwise(body, hint, [], (init, "b"), at_own_number)


def _rows_of(body: Body, cu: Value, sequence: Value) -> Value:
    """Number of rows of a sequence, as i32."""
    following = body.op("following", "index", f"arith.addi {sequence}, {body.index(1)} : index")
    begin, end = (body.op("bound", "i32", f"tensor.extract {cu}[{at}] : {cu.type}") for at in (sequence, following))
    return body.op("length", "i32", f"arith.subi {end}, {begin} : i32")


def _biases(spec: EncoderDecoder, scope: Scope, name: str, bidirectional: bool) -> list[Value]:
    """The bias of each head and distance, where positions are one."""
    if not isinstance(spec.positions, Buckets):
        return []
    body, numbers = scope.body, spec.positions.numbers(bidirectional)
    table = body.constant(f"dense<{numbers}>", Shaped((len(numbers),), "i32"), "buckets")
    weight, (type,) = scope.weight(f"{name}_buckets"), bias_type(spec, spec.sides[name]).values()
    init = body.op("init", type, f"tensor.empty() : {type}")

    def element(bucket: Value) -> Value:
        row = body.op("row", "index", f"arith.index_cast {bucket} : i32 to index")
        head = body.op("head", "index", "linalg.index 0 : index")
        return extended(body.op("e", weight.type.dtype, f"tensor.extract {weight}[{row}, {head}] : {weight.type}"))

    return [elementwise(body, "biases", [(table, "r")], (init, "hr"), element)]


def _scaled(scope: Scope, x: Value, factor: float) -> Value:
    if factor == 1:
        return x
    return each(scope.body, "scaled", x, scope.rows, lambda e: e * scope.body.constant(factor, "f32", "factor"))


def _inputs(extents: dict[str, str]) -> list[Argument]:
    return [Argument(name, INDICES, (extent,)) for name, extent in extents.items()]


def _state(side: Side, name: str, depth: int) -> Argument:
    return Argument(name, cache_type(side, depth), (depth, "slots", side.heads, "max_len", side.head_dim))
