# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The feed-forward networks of a layer: one for all tokens, or top-k of many."""

from __future__ import annotations

from moec.hf.build.norm import normalize
from moec.hf.build.scope import Scope, grouped_matmul
from moec.hf.build.sparsemixer import mix
from moec.hf.spec import Dense, Glu, Network, Norm, Router, Shared, Sparse
from moec.mlir.ops import each, elementwise, empty, extended, filled, flattened, generic, size, zero_filled
from moec.mlir.scalar import sigmoid, softcap
from moec.mlir.text import Body, Shaped, Value, float_literal, types


def network(scope: Scope, x: Value, ffn: Network, stream: Value, norm: Norm) -> Value:
    """A layer's network of x [N, hidden], which is normalised from the residual stream."""
    if isinstance(ffn, Dense):
        return dense(scope, x, ffn, "dense")
    apart = ffn.shared and ffn.shared.apart
    rows = normalize(scope, "expert_normed", stream, "expert_norm", norm) if apart else x
    guide = _router_input(scope, stream, norm) if ffn.router.scaled_input else rows
    y = _sparse(scope, rows, guide, ffn)
    if apart:
        y = normalize(scope, "expert_post_normed", y, "expert_post_norm", norm)
    return _beside(scope, x, y, ffn.shared, norm) if ffn.shared else y


def dense(scope: Scope, x: Value, ffn: Dense, prefix: str) -> Value:
    """down(act(gate(x)) * up(x)), with the weights of the roles that begin with a prefix."""
    gate, up = (scope.linear(role, x, f"{prefix}_{role}") for role in ("gate", "up"))
    return scope.linear("ffn", _glu(scope.body, gate, up, ffn.glu), f"{prefix}_down")


def _router_input(scope: Scope, stream: Value, norm: Norm) -> Value:
    """The residual stream, normalised and scaled."""
    body, shape = scope.body, stream.type.shape
    factor = body.constant(shape[1] ** -0.5, "f32", "router_factor")
    ins = [(normalize(scope, "router_normed", stream, None, norm), "nd"), (scope.weight("router_scale"), "d")]
    return elementwise(body, "guide", ins, (empty(body, shape, scope.rows), "nd"), lambda e, s: e * s * factor)


def _beside(scope: Scope, x: Value, routed: Value, shared: Shared, norm: Norm) -> Value:
    """What the experts say plus what a network says that all tokens visit."""
    body, rows = scope.body, scope.rows
    y = dense(scope, x, shared.network, "shared")
    if shared.apart:
        y = normalize(scope, "shared_post_normed", y, "shared_post_norm", norm)
    ins = [(routed, "nd"), (y, "nd")]
    if shared.gated:
        logit = scope.linear("shared_logits", x, "shared_router")
        ins.append((flattened(body, "shared_logit", logit), "n"))

    def element(routed: Value, y: Value, *logit: Value) -> Value:
        total = routed + (y * sigmoid(logit[0]) if logit else y)
        return total * body.constant(0.5, "f32", "half") if shared.average else total

    return elementwise(body, "ffn", ins, (empty(body, y.type.shape, rows), "nd"), element)


def _sparse(scope: Scope, x: Value, guide: Value, ffn: Sparse) -> Value:
    """Route each token to its top k experts, run them on the rows of x sorted by expert, and add up their results."""
    body = scope.body
    indices, weights = route(scope, guide, ffn)
    if ffn.identities:
        indices, kept = _apart(scope, indices, weights, ffn.experts)
    row, perm, offsets = assign(body, indices, ffn.experts)
    weigh_rows = ffn.weigh_input and ffn.top_k > 1
    if ffn.weigh_input and not weigh_rows:
        x, weights = _weighed(scope, x, flattened(body, "weight", weights), scope.rows, weights)
    sorted_x = body.op("sorted", x.type, f"moe.dispatch {x} by {perm} top {ffn.top_k} : {x.type}, {perm.type}")
    slots = size(body, sorted_x, "slots")

    if weigh_rows:
        of_rows = _of_rows(body, weights, perm, slots)
        sorted_x, weights = _weighed(scope, sorted_x, of_rows, slots, weights)

    def experts(hint: str, rows: Value) -> Value:
        y = grouped_matmul(body, f"{hint}_rows", rows, scope.weight(hint), slots, offsets)
        if not ffn.bias:
            return y
        bias = scope.weight(f"{hint}_bias")
        return body.op(
            f"{hint}_biased", y.type, f"moe.group_add {y}, {bias} by {offsets} : {types([y, bias, offsets])}"
        )

    hidden = _glu(body, experts("gate", sorted_x), experts("up", sorted_x), ffn.glu)
    down = experts("down", hidden)
    y = body.op("ffn", x.type, f"moe.combine {down}, {row}, {weights} : {types([down, row, weights])}")
    if ffn.out_bias:
        y = generic(body, "ffn", "nd", [(scope.weight("out_bias"), "d")], (y, "nd"), lambda b, y: y + b)
    if ffn.identities:
        y = generic(body, "ffn", "nd", [(x, "nd"), (kept, "n")], (y, "nd"), lambda x, w, y: y + x * w)
    return y


def _apart(scope: Scope, indices: Value, weights: Value, experts: int) -> tuple[Value, Value]:
    """Indices [N, k] without those from `experts` on, and the sum of their weights, [N]: they need no dispatch."""
    body, count, none = scope.body, *(scope.body.constant(n, "i32", h) for n, h in ((experts, "count"), (-1, "none")))

    def is_kept(index: Value) -> Value:
        return body.op("kept", "i1", f"arith.cmpi sge, {index}, {count} : i32")

    def real(index: Value) -> Value:
        return body.op("index", "i32", f"arith.select {is_kept(index)}, {none}, {index} : i32")

    def add(index: Value, weight: Value, total: Value) -> Value:
        more = total + weight
        return body.op("total", "f32", f"arith.select {is_kept(index)}, {more}, {total} : f32")

    init = body.op("init", indices.type, f"tensor.empty({scope.rows}) : {indices.type}")
    zeros = (zero_filled(body, (None,), scope.rows), "n")
    sums = generic(body, "kept_weights", "nk", [(indices, "nk"), (weights, "nk")], zeros, add)
    return elementwise(body, "real", [(indices, "nk")], (init, "nk"), real), sums


def _weighed(scope: Scope, x: Value, factors: Value, rows: Value, weights: Value) -> tuple[Value, Value]:
    """Rows [n, hidden] times a factor each, [n], and ones in place of the weights of slots, [T, k]."""
    body = scope.body
    init = (empty(body, x.type.shape, rows), "nd")
    weighed = elementwise(body, "weighed", [(x, "nd"), (factors, "n")], init, lambda x, w: x * w)
    return weighed, filled(body, "ones", weights.type.shape, scope.rows, body.constant(1.0, "f32", "one"))


def _of_rows(body: Body, weights: Value, perm: Value, slots: Value) -> Value:
    """The weights of slots [T, k] in the order of the experts, [N]."""
    flat, column = Shaped((None,)), Shaped((None, 1))
    weight = body.op("flat", flat, f"tensor.collapse_shape {weights} [[0, 1]] : {weights.type} into {flat}")
    weight = body.op(
        "column", column, f"tensor.expand_shape {weight} [[0, 1]] output_shape [{slots}, 1] : {flat} into {column}"
    )
    weight = body.op("sorted_weights", column, f"moe.dispatch {weight} by {perm} top 1 : {types([weight, perm])}")
    return flattened(body, "sorted_weight", weight)


def assign(body: Body, indices: Value, experts: int) -> tuple[Value, Value, Value]:
    """Row of each slot among those sorted by expert [N, k], slot of each row, and each expert's first row [E + 1]."""
    row = body.value("row", indices.type)
    perm, offsets = body.value("perm", Shaped((None,), "i32")), body.value("offsets", Shaped((experts + 1,), "i32"))
    body.line(f"{row}, {perm}, {offsets} = moe.assign {indices} into {experts} : {indices.type}")
    return row, perm, offsets


def route(scope: Scope, x: Value, ffn: Sparse) -> tuple[Value, Value]:
    """Each token's experts and their weights, [N, k] both."""
    body, router = scope.body, ffn.router
    logits = scope.linear("router_logits", x, "router")
    if router.softcap:
        logits = each(body, "capped", logits, scope.rows, lambda e: softcap(e, router.softcap))
    if router.sparsemixer is not None:
        return mix(scope, logits, ffn.top_k, router.sparsemixer)
    scores = body.op("scores", logits.type, f"moe.score {router.score} {logits} : {logits.type}")
    indices = _select(scope, logits if router.select_logits else scores, ffn)
    text = f"moe.weigh {scores} at {indices}{_weigh_clauses(router)} : {types([scores, indices])}"
    weights = body.op("weights", Shaped(indices.type.shape), text)
    return indices, _by_expert(scope, indices, weights) if router.expert_scale else weights


def _by_expert(scope: Scope, indices: Value, weights: Value) -> Value:
    """Weights times the numbers of their experts."""
    body, numbers = scope.body, scope.weight("expert_scale")

    def element(index: Value, weight: Value) -> Value:
        expert = body.op("expert", "index", f"arith.index_cast {index} : i32 to index")
        number = body.op("number", numbers.type.dtype, f"tensor.extract {numbers}[{expert}] : {numbers.type}")
        return weight * extended(number)

    ins = [(indices, "nk"), (weights, "nk")]
    return elementwise(body, "weights", ins, (empty(body, weights.type.shape, scope.rows), "nk"), element)


def _select(scope: Scope, key: Value, ffn: Sparse) -> Value:
    """The k experts with the largest keys."""
    clauses, router, groups = "", ffn.router, ffn.router.groups
    if router.correction:
        bias = scope.weight("correction")
        bias = flattened(scope.body, "correction", bias) if router.correction_row else bias
        clauses = f" bias({bias} : {bias.type})"
    if groups:
        clauses += f" groups <{groups.count} keep {groups.keep} by {groups.by} fill {groups.fill}>"
    text = f"moe.select {key} top {ffn.top_k}{clauses} : {key.type}"
    return scope.body.op("experts", Shaped((None, ffn.top_k), "i32"), text)


def _weigh_clauses(router: Router) -> str:
    clauses = ""
    if router.norm:
        clauses = " norm sum"
        for name, number in (("plus", router.plus), ("at_least", router.at_least)):
            clauses += f" {name} {float_literal(number)}" if number else ""
    return clauses + (f" scale {float_literal(router.scale)}" if router.scale != 1 else "")


def _glu(body: Body, gate: Value, up: Value, glu: Glu) -> Value:
    clauses = ""
    for name, number, neutral in (("alpha", glu.alpha, None), ("offset", glu.offset, 0), ("limit", glu.limit, None)):
        clauses += f" {name} {float_literal(number)}" if number != neutral else ""
    return body.op("hidden", gate.type, f"moe.glu {glu.kind} {gate}, {up}{clauses} : {gate.type}")
