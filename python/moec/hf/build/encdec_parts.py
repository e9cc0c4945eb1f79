# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The parts of an encoder-decoder's layers, each a private function that adds to x in place: attention of sources to
themselves, of texts to themselves and to sources, and networks with and without experts."""

from __future__ import annotations

from collections.abc import Sequence

from moec.hf.build.norm import normalize
from moec.hf.build.scope import Scope, grouped_matmul
from moec.hf.encdec import Buckets, EncoderDecoder, Side
from moec.hf.parameters import of_kind
from moec.hf.weights import Parameter
from moec.mlir.ops import add_to, empty, merge_heads, size, split_heads
from moec.mlir.text import Argument, Body, Shaped, Value, float_literal, names, types

INDICES = Shaped((None,), "i32")


def parts(spec: EncoderDecoder, parameters: list[Parameter]) -> list[str]:
    """All functions: ``encoder``, ``decoder``, ``cross``, and a network of either side and kind, as ``encoder_dense``.

    Their arguments are the number of the layer among those with such a part, x, and what each says it takes.
    """
    functions = [_encoder(spec, parameters), _decoder(spec, parameters), _cross(spec, parameters)]
    for name, side in spec.sides.items():
        if not all(side.sparse):
            functions.append(_dense(spec, name, parameters))
        if any(side.sparse):
            functions.append(_sparse(spec, name, parameters))
    return functions


def cache_type(side: Side, depth: int) -> Shaped:
    """Keys or values of a number of layers."""
    return Shaped((depth, None, side.heads, None, side.head_dim), container="memref")


def bias_type(spec: EncoderDecoder, side: Side) -> dict[str, Shaped]:
    """The bias of self-attention, where positions are one."""
    if isinstance(spec.positions, Buckets):
        return {"bias": Shaped((side.heads, 2 * spec.positions.max_distance + 1))}
    return {}


def update(body: Body, rows: Value, place: Sequence[Value], cache: Value, layer: Value) -> None:
    """Write new keys or values [N, heads, head_dim]; the place is cu, past and slot."""
    inputs = [rows, *place]
    body.line(f"moe.cache_update {names(inputs)} into {cache}[{layer}] : {types(inputs)}, {cache.type}")


class _Part:
    """A function under construction.

    Attributes
    ----------
    arguments : dict of str to Value
        Those that the signature adds to the number of the layer and x.
    normed : Value
        x, normalised.
    """

    def __init__(self, spec: EncoderDecoder, name: str, parameters: list[Parameter], signature: dict[str, Shaped]):
        self._name, self._stream, self._spec = name, Shaped((None, spec.hidden)), spec
        given = {"l": "index", "x": self._stream} | signature
        self.body = Body([Argument(name, type) for name, type in given.items()])
        self.arguments = dict(self.body.arguments)
        self.layer, self._x = self.arguments.pop("l"), self.arguments.pop("x")
        self.scope = Scope(self.body, size(self.body, self._x, "n"), of_kind(parameters, name), self.layer)
        self.normed = normalize(self.scope, "normed", self._x, "norm", spec.norm)

    def place(self) -> list[Value]:
        return [self.arguments[name] for name in ("cu", "past", "slot")]

    def heads(self, side: Side, role: str) -> Value:
        """Queries, keys or values, [N, heads, head_dim]."""
        return split_heads(self.body, self.scope.linear(role, self.normed, role), side.heads, self.scope.rows)

    def extend(self, side: Side, layer: Value) -> None:
        """Write x's own keys and values."""
        for role in "kv":
            update(self.body, self.heads(side, role), self.place(), self.arguments[f"{role}_cache"], layer)

    def attend(self, side: Side, layer: Value) -> str:
        """The text of the function, which returns x plus what its queries see at a layer of the caches."""
        q, k_cache, v_cache = self.heads(side, "q"), self.arguments["k_cache"], self.arguments["v_cache"]
        inputs, init = [q, *self.place()], empty(self.body, q.type.shape, self.scope.rows)
        operands = [(name, self.arguments[name]) for name in ("lengths", "bias") if name in self.arguments]
        clauses = "".join(f"{name}({value} : {value.type}) " for name, value in operands)
        scale = side.head_dim**-0.5 if self._spec.scaled else 1.0
        text = (
            f"moe.attention ins({names(inputs)} : {types(inputs)}) "
            f"cache({k_cache}, {v_cache} at {layer} : {k_cache.type}) {clauses}"
            f"outs({init} : {init.type}) {{scale = {float_literal(scale)} : f32}} -> {q.type}"
        )
        attended = merge_heads(self.body, self.body.op("attended", q.type, text))
        return self.function(self.scope.linear("attn", attended, "o"))

    def function(self, y: Value) -> str:
        """The text of the function, which returns x + y."""
        x = add_to(self.body, "x", self._x, y)
        return self.body.function(self._name, [(Argument("x", self._stream), x)], private=True)


_PLACE = {"cu": INDICES, "past": INDICES, "slot": INDICES}
_LENGTHS = {"lengths": INDICES}


def _encoder(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """Self-attention of whole sources. All layers share one layer of caches, because none is read later."""
    caches = dict.fromkeys(("k_cache", "v_cache"), cache_type(spec.encoder, 1))
    part = _Part(spec, "encoder", parameters, bias_type(spec, spec.encoder) | _LENGTHS | _PLACE | caches)
    first = part.body.index(0)
    part.extend(spec.encoder, first)
    return part.attend(spec.encoder, first)


def _decoder(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """Causal self-attention over the caches, which it extends."""
    caches = dict.fromkeys(("k_cache", "v_cache"), cache_type(spec.decoder, len(spec.decoder.sparse)))
    part = _Part(spec, "decoder", parameters, bias_type(spec, spec.decoder) | _PLACE | caches)
    part.extend(spec.decoder, part.layer)
    return part.attend(spec.decoder, part.layer)


def _cross(spec: EncoderDecoder, parameters: list[Parameter]) -> str:
    """Attention to what the encoder made of the source."""
    caches = dict.fromkeys(("k_cache", "v_cache"), cache_type(spec.decoder, len(spec.decoder.sparse)))
    part = _Part(spec, "cross", parameters, _LENGTHS | _PLACE | caches)
    return part.attend(spec.decoder, part.layer)


def _dense(spec: EncoderDecoder, side: str, parameters: list[Parameter]) -> str:
    """down(relu(up(x)))."""
    part = _Part(spec, f"{side}_dense", parameters, {"cu": INDICES})
    hidden = part.scope.linear("up", part.normed, "up")
    return part.function(part.scope.linear("ffn", _relu(part.body, hidden), "down"))


def _sparse(spec: EncoderDecoder, side: str, parameters: list[Parameter]) -> str:
    """The same with the weights of each token's experts."""
    part = _Part(spec, f"{side}_sparse", parameters, {"cu": INDICES})
    body, scope, x, top_k = part.body, part.scope, part.normed, spec.routing.top_k
    chosen, weights = _route(spec, scope, x, part.arguments["cu"])
    row, perm = body.value("row", chosen.type), body.value("perm", INDICES)
    offsets = body.value("offsets", Shaped((spec.routing.experts + 1,), "i32"))
    body.line(f"{row}, {perm}, {offsets} = moe.assign {chosen} into {spec.routing.experts} : {chosen.type}")
    rows = body.op("sorted", x.type, f"moe.dispatch {x} by {perm} top {top_k} : {types([x, perm])}")
    slots = size(body, rows, "slots")

    def experts(role: str, rows: Value) -> Value:
        y = grouped_matmul(body, f"{role}_rows", rows, scope.weight(role), slots, offsets)
        if not spec.bias:
            return y
        bias = scope.weight(f"{role}_bias")
        text = f"moe.group_add {y}, {bias} by {offsets} : {types([y, bias, offsets])}"
        return body.op(f"{role}_biased", y.type, text)

    down = experts("down", _relu(body, experts("up", rows)))
    return part.function(
        body.op("ffn", x.type, f"moe.combine {down}, {row}, {weights} : {types([down, row, weights])}")
    )


def _route(spec: EncoderDecoder, scope: Scope, x: Value, cu: Value) -> tuple[Value, Value]:
    """Each token's experts, without those that are full, and their weights, [N, k] both."""
    body, routing = scope.body, spec.routing
    logits = scope.linear("router_logits", x, "router")
    scores = body.op("scores", logits.type, f"moe.score softmax {logits} : {logits.type}")
    type = Shaped((None, routing.top_k), "i32")
    chosen = body.op("experts", type, f"moe.select {scores} top {routing.top_k} : {scores.type}")
    clauses = f" norm sum at_least {float_literal(routing.at_least)}" if routing.norm else ""
    if routing.scale != 1:
        clauses += f" scale {float_literal(routing.scale)}"
    text = f"moe.weigh {scores} at {chosen}{clauses} : {types([scores, chosen])}"
    weights = body.op("weights", Shaped(type.shape), text)
    if routing.capacity:
        limit = f"moe.limit {chosen} into {routing.experts} capacity <{routing.capacity}> of({cu} : {cu.type})"
        chosen = body.op("kept", type, f"{limit} : {type}")
    return chosen, weights


def _relu(body: Body, x: Value) -> Value:
    return body.op("hidden", x.type, f"moe.glu relu {x} : {x.type}")
