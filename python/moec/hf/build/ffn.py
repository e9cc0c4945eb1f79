# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The feed-forward networks of a layer: one for all tokens, or top-k of many."""

from __future__ import annotations

from moec.hf.build.scope import Scope, grouped_matmul
from moec.hf.spec import Sparse
from moec.mlir.ops import size
from moec.mlir.text import Body, Shaped, Value


def dense(scope: Scope, x: Value) -> Value:
    """down(silu(gate(x)) * up(x))."""
    gate, up = scope.linear("gate", x, "dense_gate"), scope.linear("up", x, "dense_up")
    return scope.linear("ffn", _swiglu(scope.body, gate, up), "dense_down")


def sparse(scope: Scope, x: Value, ffn: Sparse) -> Value:
    """Route each token to its top k experts, run them on the rows sorted by expert, and add up their results."""
    body = scope.body
    indices, weights = _route(scope, x, ffn)
    row = body.value("row", indices.type)
    perm, offsets = body.value("perm", Shaped((None,), "i32")), body.value("offsets", Shaped((ffn.experts + 1,), "i32"))
    body.line(f"{row}, {perm}, {offsets} = moe.assign {indices} into {ffn.experts} : {indices.type}")
    sorted_x = body.op("sorted", x.type, f"moe.dispatch {x} by {perm} top {ffn.top_k} : {x.type}, {perm.type}")
    slots = size(body, sorted_x, "slots")

    def experts(hint: str, rows: Value) -> Value:
        return grouped_matmul(body, f"{hint}_rows", rows, scope.weight(hint), slots, offsets)

    down = experts("down", _swiglu(body, experts("gate", sorted_x), experts("up", sorted_x)))
    return body.op("ffn", x.type, f"moe.combine {down}, {row}, {weights} : {down.type}, {row.type}, {weights.type}")


def _route(scope: Scope, x: Value, ffn: Sparse) -> tuple[Value, Value]:
    """Each token's experts and their weights, [N, k] both."""
    body = scope.body
    logits = scope.linear("router_logits", x, "router")
    scores = body.op("scores", logits.type, f"moe.score softmax {logits} : {logits.type}")
    type = Shaped((None, ffn.top_k), "i32")
    indices = body.op("experts", type, f"moe.select {scores} top {ffn.top_k} : {scores.type}")
    norm = " norm sum" if ffn.normalize else ""
    text = f"moe.weigh {scores} at {indices}{norm} : {scores.type}, {indices.type}"
    return indices, body.op("weights", Shaped((None, ffn.top_k)), text)


def _swiglu(body: Body, gate: Value, up: Value) -> Value:
    return body.op("hidden", gate.type, f"moe.glu swiglu {gate}, {up} : {gate.type}")
