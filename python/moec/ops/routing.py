# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who goes where: T tokens, E experts, k slots for each token, N = T * k."""

from __future__ import annotations

from dataclasses import dataclass

from moec.mlir.text import float_literal, names
from moec.ops.operation import Operation
from moec.ops.scope import current, times, type_of
from moec.ops.tensor import Operand, Tensor

SCORES = ("softmax", "sigmoid", "sqrtsoftplus", "relu")
ROUNDINGS = ("floor", "ceil", "nearest")


@dataclass(frozen=True)
class Groups:
    """Limits a token to the best groups of experts (arXiv:2405.04434, arXiv:2412.19437).

    Attributes
    ----------
    count : int
        Groups of equally many consecutive experts.
    keep : int
        Of those, how many are chosen from.
    by : int
        A group's score is the sum of that many of its largest keys.
    fill : str
        Key of an expert outside: ``"neg_inf"`` or ``"zero"``.
    """

    count: int
    keep: int
    by: int = 1
    fill: str = "neg_inf"

    def __str__(self) -> str:
        return f"<{self.count} keep {self.keep} by {self.by} fill {self.fill}>"


@dataclass(frozen=True)
class Capacity:
    """Slots of an expert for a group of T tokens: T * factor / E, rounded, at least and a multiple of something.

    Attributes
    ----------
    factor : float
    round : str
        ``"floor"``, ``"ceil"`` or ``"nearest"``, halves to even.
    least, multiple : int
    """

    factor: float
    round: str = "ceil"
    least: int = 0
    multiple: int = 1

    def __str__(self) -> str:
        least = f" min {self.least}" if self.least else ""
        multiple = f" multiple {self.multiple}" if self.multiple != 1 else ""
        return f"<{float_literal(self.factor)} {self.round}{least}{multiple}>"


def score(logits: Operand, fn: str = "softmax", over: str = "experts", cu: Operand | None = None) -> Tensor:
    """Turn router logits into scores.

    Parameters
    ----------
    logits : tensor [T, E] f32
    fn : str
        ``"softmax"``, ``"sigmoid"``, ``"sqrtsoftplus"`` or ``"relu"``.
    over : str
        With softmax, what sums to 1: the ``"experts"`` of a token, or the ``"tokens"`` of an expert (arXiv:2308.00951).
    cu : tensor [B+1] i32 or None
        Over the tokens cu[b] to cu[b+1] of each group b; None is one group.

    Returns
    -------
    tensor [T, E] f32
    """
    op = Operation("score")
    logits = op.operand("logits", logits, "f32", "T", "E")
    op.static("E")
    op.check(fn in SCORES, "fn", " or ".join(SCORES), fn)
    op.check(over == "experts" or (over == "tokens" and fn == "softmax"), "over", "experts, or tokens of softmax", over)
    op.check(cu is None or over == "tokens", "cu", "groups of a softmax over tokens only", "them with experts")
    clause, typed = " over tokens" if over == "tokens" else "", [logits]
    if cu is not None:
        typed.append(op.operand("cu", cu, "i32", "B+1"))
        clause += f" of {typed[-1].value}"
    return op.result("scores", logits.shape, "f32", f"{fn} {logits.value}{clause}", *typed)


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
    bias : tensor [E] f32 or None
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
    clause, typed = "", [key]
    if bias is not None:
        typed.append(op.operand("bias", bias, "f32", "E"))
        clause = f" bias {typed[-1].value}"
    if groups is not None:
        op.check(1 <= groups.count and experts % groups.count == 0, "groups", f"a divisor of {experts}", groups.count)
        size = experts // groups.count
        op.check(1 <= groups.keep <= groups.count, "groups: keep", f"1 to {groups.count}", groups.keep)
        op.check(1 <= groups.by <= size, "groups: by", f"1 to {size}", groups.by)
        op.check(groups.fill in ("neg_inf", "zero"), "groups: fill", "neg_inf or zero", groups.fill)
        op.check(k <= groups.keep * size, "k", f"at most the {groups.keep * size} experts of the kept groups", k)
        clause += f" groups {groups}"
    for word, number in (("above", above), ("until", until)):
        if number is not None:
            clause += f" {word} {float_literal(number)}"
    return op.result("idx", (op["T"], k), "i32", f"{key.value} top {k}{clause}", *typed)


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
    clauses = {"plus": plus, "at_least": at_least, "scale": scale}
    clause = f" norm {norm}" if norm else ""
    clause += "".join(f" {word} {float_literal(number)}" for word, number in clauses.items() if number is not None)
    text = f"{scores.value} at {indices.value}{clause}"
    return op.result("weights", indices.shape, "f32", text, scores, indices)


def limit(
    indices: Operand,
    experts: int,
    capacity: int | Capacity,
    cu: Operand | None = None,
    by: Operand | None = None,
    order: str = "slot_major",
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
    by : tensor [T, k] f32 or None
        Who is admitted first: the largest, NaN last.
    order : str
        Among equals, the first slots of all tokens before the second ones, ``"slot_major"`` (arXiv:2006.16668), or all
        slots of a token before the next one's, ``"token_major"``.

    Returns
    -------
    tensor [T, k] i32
    """
    op = Operation("limit")
    typed = [op.operand("indices", indices, "i32", "T", "k")]
    op.check(experts >= 1, "experts", "at least 1", experts)
    if isinstance(capacity, int):
        op.check(capacity >= 1, "capacity", "at least 1", capacity)
    else:
        op.check(capacity.factor > 0, "capacity: factor", "a positive number", capacity.factor)
        op.check(capacity.round in ROUNDINGS, "capacity: round", " or ".join(ROUNDINGS), capacity.round)
        op.check(capacity.least >= 0, "capacity: least", "at least 0", capacity.least)
        op.check(capacity.multiple >= 1, "capacity: multiple", "at least 1", capacity.multiple)
    op.check(order in ("slot_major", "token_major"), "order", "slot_major or token_major", order)
    text = f"{typed[0].value} into {experts} capacity {f'<{capacity}>' if isinstance(capacity, int) else capacity}"
    if cu is not None:
        typed.append(op.operand("cu", cu, "i32", "B+1"))
        text += f" of {typed[-1].value}"
    if by is not None:
        typed.append(op.operand("by", by, "f32", "T", "k"))
        text += f" by {typed[-1].value}"
    text += " token_major" if order == "token_major" else ""
    return op.result("kept", typed[0].shape, "i32", text, *typed)


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


def soft_dispatch(x: Operand, d: Operand, cu: Operand) -> Tensor:
    """Rows that mix all tokens of a group (arXiv:2308.00951): xs[s * B + b] = sum over t of d[t, s] * x[t].

    Parameters
    ----------
    x : tensor [T, H] f32
    d : tensor [T, S] f32
    cu : tensor [B+1] i32
        Group b owns the tokens cu[b] to cu[b+1].

    Returns
    -------
    tensor [S * B, H] f32
    """
    op = Operation("soft_dispatch")
    x, d = op.operand("x", x, "f32", "T", "H"), op.operand("d", d, "f32", "T", "S")
    cu = op.operand("cu", cu, "i32", "B+1")
    op.static("S")
    text = f"{x.value}, {d.value} of {cu.value}"
    return op.result("xs", (times(op["B"], op["S"]), op["H"]), "f32", text, x, d, cu)


def soft_combine(ys: Operand, c: Operand, cu: Operand) -> Tensor:
    """Each token's mixture of its group's rows (arXiv:2308.00951): y[t] = sum over s of c[t, s] * ys[s * B + b].

    Parameters
    ----------
    ys : tensor [S * B, H] f32
    c : tensor [T, S] f32
    cu : tensor [B+1] i32
        Group b owns the tokens cu[b] to cu[b+1].

    Returns
    -------
    tensor [T, H] f32
    """
    op = Operation("soft_combine")
    c, cu = op.operand("c", c, "f32", "T", "S"), op.operand("cu", cu, "i32", "B+1")
    op.static("S")
    op["rows"] = times(op["B"], op["S"])
    ys = op.operand("ys", ys, "f32", "rows", "H")
    return op.result("y", (op["T"], op["H"]), "f32", f"{ys.value}, {c.value} of {cu.value}", ys, c, cu)
