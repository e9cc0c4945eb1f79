# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The sparse mixer (arXiv:2409.12136, section 2): a softmax for each slot, over the experts near the slot's own."""

from __future__ import annotations

from moec.hf.build.scope import Scope
from moec.mlir.ops import cut, elementwise, empty, flattened, write
from moec.mlir.text import Shaped, Value


def mix(scope: Scope, logits: Value, top_k: int, distance: float) -> tuple[Value, Value]:
    """Each token's experts by descending logit, and their weights, [N, k] both.

    The weight of slot j is the softmax at its expert over the experts e that no slot before it has, and whose logits l
    have (m - l[e]) / max(|l[e]|, m) <= distance, where m is the logit of slot j.
    """
    body, rows, slots = scope.body, scope.rows, Shaped((None, top_k), "i32")
    indices = body.op("experts", slots, f"moe.select {logits} top {top_k} : {logits.type}")
    top = _weigh(scope, logits, indices)
    weights = empty(body, (None, top_k), rows)
    columns: list[Value] = []
    for slot in range(top_k):
        place = [0, slot], [rows, 1]
        index, own = cut(body, "index", indices, *place), flattened(body, "own", cut(body, "own", top, *place))
        near = _near(scope, logits, own, columns, distance)
        scores = body.op("scores", near.type, f"moe.score softmax {near} : {near.type}")
        weights = write(body, "weights", [(_weigh(scope, scores, index), "nk")], (weights, "nk"), *place)
        columns.append(flattened(body, "taken", index))
    return indices, weights


def _weigh(scope: Scope, scores: Value, indices: Value) -> Value:
    text = f"moe.weigh {scores} at {indices} : {scores.type}, {indices.type}"
    return scope.body.op("weight", Shaped(indices.type.shape), text)


def _near(scope: Scope, logits: Value, own: Value, taken: list[Value], distance: float) -> Value:
    """The logits [N, E], with -inf where they are far from a row's own [N] or the expert [N] is taken."""
    body = scope.body
    bound, lowest = body.constant(distance, "f32", "distance"), body.constant("0xFF800000", "f32", "lowest")

    def element(logit: Value, own: Value, *taken: Value) -> Value:
        size = body.op("size", "f32", f"math.absf {logit} : f32")
        gap = (own - logit) / body.op("scale", "f32", f"arith.maximumf {size}, {own} : f32")
        out = body.op("out", "i1", f"arith.cmpf ogt, {gap}, {bound} : f32")
        expert = body.op(
            "e", "i32", f"arith.index_cast {body.op('e', 'index', 'linalg.index 1 : index')} : index to i32"
        )
        for other in taken:
            same = body.op("same", "i1", f"arith.cmpi eq, {expert}, {other} : i32")
            out = body.op("out", "i1", f"arith.ori {out}, {same} : i1")
        return body.op("near", "f32", f"arith.select {out}, {lowest}, {logit} : f32")

    ins = [(logits, "ne"), (own, "n"), *((other, "n") for other in taken)]
    return elementwise(body, "near", ins, (empty(body, logits.type.shape, scope.rows), "ne"), element)
