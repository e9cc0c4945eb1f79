# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who goes where: T tokens, E experts, k slots for each token, N = T * k."""

from __future__ import annotations

import math
from dataclasses import dataclass

from moec.mlir.text import float_literal, names
from moec.ops.operation import Operation, numbers
from moec.ops.scope import current, times, type_of
from moec.ops.tensor import Operand, Tensor

SCORES = ("softmax", "sigmoid", "sqrtsoftplus", "relu")
ROUNDINGS = ("floor", "ceil", "nearest")
_FILLS = {-math.inf: "neg_inf", 0: "zero"}


@dataclass(frozen=True)
class Groups:
    """Limits a token to the best groups of experts (arXiv:2405.04434, arXiv:2412.19437).

    Attributes
    ----------
    count : int
        Groups of equally many consecutive experts.
    keep : int
        Of those, how many are chosen from.
    terms : int
        A group's score is the sum of that many of its largest keys.
    fill : float
        Key of an expert outside: minus infinity or 0.
    """

    count: int
    keep: int
    terms: int = 1
    fill: float = -math.inf

    def __str__(self) -> str:
        return f"<{self.count} keep {self.keep} by {self.terms} fill {_FILLS[self.fill]}>"


@dataclass(frozen=True)
class Capacity:
    """Slots of an expert for a group of T tokens: T * factor / E, rounded, at least and a multiple of something.

    Attributes
    ----------
    factor : float
    rounding : str
        ``"floor"``, ``"ceil"`` or ``"nearest"``, where halves go to the even integer.
    least, multiple : int
    """

    factor: float
    rounding: str
    least: int = 1
    multiple: int = 1

    def __str__(self) -> str:
        least = f" min {self.least}" if self.least != 1 else ""
        multiple = f" multiple {self.multiple}" if self.multiple != 1 else ""
        return f"<{float_literal(self.factor)} {self.rounding}{least}{multiple}>"


def score(logits: Operand, fn: str = "softmax", over_tokens: bool = False, cu: Operand | None = None) -> Tensor:
    """Turn router logits into scores.

    Parameters
    ----------
    logits : tensor [T, E] f32
    fn : str
        ``"softmax"``, ``"sigmoid"``, ``"sqrtsoftplus"``, the root of log(1 + exp(l)), or ``"relu"``.
    over_tokens : bool
        Whether the softmax is over the tokens of a group instead of the experts of a token.
    cu : tensor [B+1] i32 or None
        Group b owns the tokens cu[b] to cu[b+1]; None is one group.

    Returns
    -------
    tensor [T, E] f32
    """
    op = Operation("score")
    logits = op.operand("logits", logits, "f32", "T", "E")
    op.check(fn in SCORES, "fn", " or ".join(SCORES), fn)
    op.check(fn == "softmax" or not over_tokens, "over_tokens", "softmax", fn)
    op.check(over_tokens or cu is None, "cu", "over_tokens", over_tokens)
    clauses = " over_tokens" * over_tokens + op.groups(cu)
    return op.result("scores", logits.shape, "f32", f"{fn} {logits.value}{clauses}", logits)


def select(
    key: Operand,
    k: int,
    bias: Operand | None = None,
    groups: Groups | None = None,
    above: float | None = None,
    until: float | None = None,
) -> Tensor:
    """Choose the k experts with the largest keys; ties go to the lowest index, NaN comes last.

    Parameters
    ----------
    key : tensor [T, E] f32
    k : int
    bias : tensor [E] f32 or bf16, or None
        Added to the keys; it does not become part of a weight (arXiv:2408.15664).
    groups : Groups or None
    above : float or None
        Slots whose key is not above become -1, no expert (arXiv:2412.14711).
    until : float or None
        Slots after those whose keys sum up to as much become -1 (arXiv:2403.07652).

    Returns
    -------
    tensor [T, k] i32
        In order of descending key.
    """
    op = Operation("select")
    key = op.operand("key", key, "f32", "T", "E")
    op.static("E")
    experts = op["E"]
    op.check(1 <= k <= experts, "k", f"1 to {experts}", k)
    clauses = op.clause("bias", "bias", bias, "f32|bf16", "E")
    if groups is not None:
        op.check(1 <= groups.count and experts % groups.count == 0, "groups", f"a divisor of {experts}", groups.count)
        size = experts // groups.count
        op.check(1 <= groups.keep <= groups.count, "groups: keep", f"1 to {groups.count}", groups.keep)
        op.check(1 <= groups.terms <= size, "groups: terms", f"1 to {size}", groups.terms)
        op.check(groups.fill in _FILLS, "groups: fill", "-inf or 0", groups.fill)
        op.check(k <= groups.keep * size, "k", f"at most the {groups.keep * size} experts of the kept groups", k)
        clauses += f" groups {groups}"
    clauses += numbers(above=above, until=until)
    return op.result("idx", (op["T"], k), "i32", f"{key.value} top {k}{clauses}", key)


def weigh(
    scores: Operand,
    indices: Operand,
    norm: str | None = None,
    plus: float | None = None,
    at_least: float | None = None,
    scale: float | None = None,
) -> Tensor:
    """Read the weights of the chosen experts: scores[t, indices[t, j]], 0 where there is no expert.

    Parameters
    ----------
    scores : tensor [T, E] f32
    indices : tensor [T, k] i32
        -1 is no expert.
    norm : str or None
        What the weights of a token are divided by: their ``"sum"``, or their Euclidean norm, ``"l2"``.
    plus, at_least : float or None
        Added to that, or the least that it is.
    scale : float or None
        Factor of the weights in the end.

    Returns
    -------
    tensor [T, k] f32
    """
    op = Operation("weigh")
    scores = op.operand("scores", scores, "f32", "T", "E")
    indices = op.operand("indices", indices, "i32", "T", "k")
    op.check(norm in (None, "sum", "l2"), "norm", "sum or l2", norm)
    op.check(norm is not None or plus is at_least is None, "norm", "sum or l2 beside plus and at_least", norm)
    op.check(None in (plus, at_least), "plus", "none beside at_least", plus)
    clauses = f" norm {norm}" * (norm is not None) + numbers(plus=plus, at_least=at_least, scale=scale)
    text = f"{scores.value} at {indices.value}{clauses}"
    return op.result("weights", indices.shape, "f32", text, scores, indices)


def limit(
    indices: Operand,
    experts: int,
    capacity: int | Capacity,
    cu: Operand | None = None,
    priority: Operand | None = None,
    token_major: bool = False,
) -> Tensor:
    """Drop the slots that an expert has no room for: they become -1.

    Parameters
    ----------
    indices : tensor [T, k] i32
        -1 is no expert.
    experts : int
    capacity : int or Capacity
        Slots of each expert.
    cu : tensor [B+1] i32 or None
        For each group of tokens cu[b] to cu[b+1]; None is one group.
    priority : tensor [T, k] f32 or None
        Slots with greater values are admitted first, NaN last.
    token_major : bool
        Whether, among equals, all slots of one token come before those of the next; else all first slots come before
        all second ones (arXiv:2006.16668).

    Returns
    -------
    tensor [T, k] i32
    """
    op = Operation("limit")
    indices = op.operand("indices", indices, "i32", "T", "k")
    op.check(experts >= 1, "experts", "at least 1", experts)
    if isinstance(capacity, int):
        op.check(capacity >= 1, "capacity", "at least 1", capacity)
    else:
        op.check(capacity.factor > 0, "capacity: factor", "a positive number", capacity.factor)
        op.check(capacity.rounding in ROUNDINGS, "capacity: rounding", " or ".join(ROUNDINGS), capacity.rounding)
        op.check(capacity.least >= 1, "capacity: least", "at least 1", capacity.least)
        op.check(capacity.multiple >= 1, "capacity: multiple", "at least 1", capacity.multiple)
    clauses = f" into {experts} capacity {f'<{capacity}>' if isinstance(capacity, int) else capacity}"
    clauses += op.groups(cu) + op.clause("by", "priority", priority, "f32", "T", "k")
    clauses += " token_major" * token_major
    return op.result("kept", indices.shape, "i32", f"{indices.value}{clauses}", indices)


def assign(indices: Operand, experts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sort the slots of all tokens by expert.

    Parameters
    ----------
    indices : tensor [T, k] i32
        -1 is no expert.
    experts : int

    Returns
    -------
    row : tensor [T, k] i32
        Place of each slot in the sorted order, -1 where it has no expert.
    perm : tensor [N] i32
        Its inverse, with -1 at the end.
    offsets : tensor [experts + 1] i32
        Expert e owns the places offsets[e] to offsets[e+1].
    """
    op = Operation("assign")
    indices = op.operand("indices", indices, "i32", "T", "k")
    op.static("k")
    op.check(experts >= 1, "experts", "at least 1", experts)
    body = current().body
    shapes = {"row": indices.shape, "perm": (times(op["T"], op["k"]),), "offsets": (experts + 1,)}
    values = [body.value(hint, type_of(shape, "i32")) for hint, shape in shapes.items()]
    body.line(f"{names(values)} = moe.assign {indices.value} into {experts} : {indices.value.type}")
    row, perm, offsets = (Tensor(value, shape) for value, shape in zip(values, shapes.values()))
    return row, perm, offsets


def dispatch(x: Operand, perm: Operand, k: int) -> Tensor:
    """Rows of tokens in the order of their experts: x[perm[p] / k].

    Parameters
    ----------
    x : tensor [T, H] f32
    perm : tensor [N] i32
        As of `assign`.
    k : int
        Slots of each token.

    Returns
    -------
    tensor [N, H] f32
        What stands where perm is -1 is not said.
    """
    op = Operation("dispatch")
    op.check(k >= 1, "k", "at least 1", k)
    x = op.operand("x", x, "f32", "T", "H")
    op["N"] = times(op["T"], k)
    perm = op.operand("perm", perm, "i32", "N")
    return op.result("xs", (op["N"], op["H"]), "f32", f"{x.value} by {perm.value} top {k}", x, perm)


def combine(ys: Operand, row: Operand, weights: Operand) -> Tensor:
    """Add up the weighted rows of each token, in the order of its slots.

    Parameters
    ----------
    ys : tensor [N, H] f32
    row : tensor [T, k] i32
        As of `assign`; -1 adds nothing.
    weights : tensor [T, k] f32

    Returns
    -------
    tensor [T, H] f32
    """
    op = Operation("combine")
    row = op.operand("row", row, "i32", "T", "k")
    op.static("k")
    op["N"] = times(op["T"], op["k"])
    ys = op.operand("ys", ys, "f32", "N", "H")
    weights = op.operand("weights", weights, "f32", "T", "k")
    text = f"{ys.value}, {row.value}, {weights.value}"
    return op.result("y", (op["T"], op["H"]), "f32", text, ys, row, weights)
