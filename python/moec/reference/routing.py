# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who goes where: T tokens, E experts, k slots for each token, N = T * k."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def score(
    logits: np.ndarray, fn: str = "softmax", over_tokens: bool = False, cu: np.ndarray | None = None
) -> np.ndarray:
    """Scores of experts.

    Parameters
    ----------
    logits : array [T, E]
    fn : str
        ``"softmax"``, ``"sigmoid"``, ``"sqrtsoftplus"``, the root of log(1 + exp(l)), or ``"relu"``.
    over_tokens : bool
        Whether the softmax is over the tokens of a group instead of the experts of a token.
    cu : array [B+1] i32 or None
        Group b owns the rows cu[b] to cu[b+1]; None is one group.

    Returns
    -------
    array [T, E] f32
        With softmax over experts, rows sum to 1; a row with NaN or positive infinity is NaN.
    """
    logits = np.asarray(logits, np.float64)
    if fn == "softmax" and over_tokens:
        groups = np.split(logits, cu[1:-1]) if cu is not None else [logits]
        return np.concatenate([_softmax(group, axis=0) for group in groups]).astype(np.float32)
    functions = {
        "softmax": lambda x: _softmax(x, axis=1),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "sqrtsoftplus": lambda x: np.sqrt(np.logaddexp(0, x)),
        "relu": lambda x: np.maximum(x, 0),
    }
    with np.errstate(over="ignore", invalid="ignore"):
        return functions[fn](logits).astype(np.float32)


def _softmax(logits: np.ndarray, axis: int) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        powers = np.exp(logits - logits.max(axis=axis, keepdims=True, initial=-np.inf))
        return powers / powers.sum(axis=axis, keepdims=True)


def select(
    key: np.ndarray,
    k: int,
    bias: np.ndarray | None = None,
    groups: tuple[int, int, int, float] | None = None,
    above: float | None = None,
    until: float | None = None,
) -> np.ndarray:
    """The k experts with the largest keys.

    Parameters
    ----------
    key : array [T, E]
    k : int
        Between 1 and E.
    bias : array [E] or None
        Added to the keys of every token, in f32.
    groups : (count, keep, terms, fill) or None
        Of `count` groups of experts, only the `keep` best take part; a group's score is the sum of its `terms`
        largest keys. Other keys become `fill`.
    above : float or None
        A slot whose key is not greater than this is -1.
    until : float or None
        Slots after those whose keys add up to this are -1.

    Returns
    -------
    array [T, k] i32
        In order of descending key; of equal keys the lowest index comes first, and NaN comes after every number.
    """
    key = np.asarray(key, np.float32)
    if bias is not None:
        key = key + np.asarray(bias, np.float32)
    if groups is not None:
        count, keep, terms, fill = groups
        size = key.shape[1] // count
        flat = key.reshape(-1, size)
        best = np.take_along_axis(flat, _largest(flat, terms), axis=1).reshape(len(key), count, terms)
        with np.errstate(invalid="ignore"):
            scores = best.sum(axis=2, dtype=np.float32)
        kept = np.zeros((len(key), count), bool)
        np.put_along_axis(kept, _largest(scores, keep), True, axis=1)
        key = np.where(np.repeat(kept, size, axis=1), key, np.float32(fill))
    indices = _largest(key, k)
    chosen = np.take_along_axis(key, indices, axis=1)
    with np.errstate(invalid="ignore"):
        if above is not None:
            indices = np.where(chosen > np.float32(above), indices, -1)
        if until is not None:
            before = np.zeros_like(chosen)
            before[:, 1:] = np.cumsum(chosen, axis=1, dtype=np.float32)[:, :-1]
            indices = np.where(before < np.float32(until), indices, -1)
    return indices.astype(np.int32)


def _largest(key: np.ndarray, k: int) -> np.ndarray:
    missing = np.isnan(key)
    order = np.lexsort((-np.where(missing, 0, key), missing), axis=1)
    return order[:, :k]


def weigh(
    scores: np.ndarray,
    indices: np.ndarray,
    norm: str | None = None,
    plus: float = 0.0,
    at_least: float = 0.0,
    scale: float = 1.0,
) -> np.ndarray:
    """Scores of the chosen experts.

    Parameters
    ----------
    scores : array [T, E]
    indices : array [T, k] i32
        -1 is no expert.
    norm : str or None
        With ``"sum"``, the weights of a token are divided by their sum, with ``"l2"`` by the root of the sum of their
        squares.
    plus, at_least : float
        Added to that divisor; its least value, where it is positive.
    scale : float
        What the weights are multiplied by at last.

    Returns
    -------
    array [T, k] f32
        0 where there is no expert.
    """
    weights = np.take_along_axis(np.asarray(scores, np.float64), np.maximum(indices, 0).astype(np.int64), axis=1)
    weights = np.where(indices < 0, 0, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        if norm is not None:
            total = (weights if norm == "sum" else weights**2).sum(axis=1, keepdims=True)
            divisor = (total if norm == "sum" else np.sqrt(total)) + plus
            weights = weights / (np.maximum(divisor, at_least) if at_least else divisor)
        return np.where(indices < 0, 0, weights * scale).astype(np.float32)


def route(
    logits: np.ndarray,
    k: int,
    norm: str | None = None,
    fn: str = "softmax",
    by_logits: bool = False,
    of_chosen: bool = False,
    bias: np.ndarray | None = None,
    groups: tuple[int, int, int, float] | None = None,
    above: float | None = None,
    until: float | None = None,
    plus: float = 0.0,
    at_least: float = 0.0,
    scale: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """`score`, `select` and `weigh`, with their clauses.

    Parameters
    ----------
    by_logits : bool
        Whether the experts with the largest logits are chosen, instead of scores.
    of_chosen : bool
        Whether these are, and scores are those of the k chosen logits.

    Returns
    -------
    indices : array [T, k] i32
    weights : array [T, k] f32
    """
    scores = np.asarray(logits, np.float32) if of_chosen else score(logits, fn)
    indices = select(logits if by_logits else scores, k, bias, groups, above, until)
    weights = weigh(scores, indices, norm, plus, at_least, scale)
    return indices, score(weights, fn) if of_chosen else weights


def limit(
    indices: np.ndarray,
    experts: int,
    capacity: int | Callable[[int], int],
    cu: np.ndarray | None = None,
    priority: np.ndarray | None = None,
    token_major: bool = False,
) -> np.ndarray:
    """Drop the slots that an expert has no capacity for.

    Parameters
    ----------
    indices : array [T, k] i32
        -1 is no expert.
    experts : int
    capacity : int or callable
        Slots that an expert accepts from one group, or that as a function of the group's number of tokens: see
        `capacity_of`.
    cu : array [B+1] i32 or None
        Group b owns the rows cu[b] to cu[b+1]; None is one group.
    priority : array [T, k] or None
        Slots with greater values are admitted first, NaN last.
    token_major : bool
        Whether, among equals, all slots of one token come before those of the next; else all first slots come before
        all second ones.

    Returns
    -------
    array [T, k] i32
        -1 where a slot was dropped.
    """
    tokens, k = indices.shape
    kept = np.full((tokens, k), -1, np.int32)
    for first, end in _groups(tokens, cu):
        most = capacity(end - first) if callable(capacity) else capacity
        slots = [(t, j) for t in range(first, end) for j in range(k)]
        if not token_major:
            slots.sort(key=lambda slot: slot[1])
        if priority is not None:
            values = [float(priority[slot]) for slot in slots]
            order = np.lexsort(([0 if np.isnan(v) else -v for v in values], np.isnan(values)))
            slots = [slots[n] for n in order]
        counts = np.zeros(experts, np.int64)
        for slot in slots:
            expert = indices[slot]
            if expert >= 0 and counts[expert] < most:
                kept[slot] = expert
                counts[expert] += 1
    return kept


def capacity_of(experts: int, factor: float, rounding: str, least: int = 1, multiple: int = 1) -> Callable[[int], int]:
    """A capacity that depends on the tokens T of a group: T * factor / experts, rounded.

    Parameters
    ----------
    experts : int
    factor : float
    rounding : str
        ``"floor"``, ``"ceil"``, or ``"nearest"``, where halves go to the even integer.
    least, multiple : int
        What the capacity is at least, and then is rounded up to a multiple of.
    """
    round_ = {"floor": np.floor, "ceil": np.ceil, "nearest": np.rint}[rounding]
    return lambda tokens: -(-max(int(round_(tokens * factor / experts)), least) // multiple) * multiple


def _groups(tokens: int, cu: np.ndarray | None) -> list[tuple[int, int]]:
    return [(0, tokens)] if cu is None else list(zip(cu[:-1].tolist(), cu[1:].tolist()))


def assign(indices: np.ndarray, experts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort the slots of all tokens by expert, keeping their order within an expert.

    Parameters
    ----------
    indices : array [T, k] i32
        -1 is no expert.
    experts : int

    Returns
    -------
    row : array [T, k] i32
        Place of each slot in the sorted order, -1 where it has no expert.
    perm : array [N] i32
        Its inverse, with -1 at the end for the slots without expert.
    offsets : array [experts + 1] i32
        Expert e owns the places offsets[e] to offsets[e+1].
    """
    flat = np.asarray(indices).reshape(-1)
    used = np.flatnonzero(flat >= 0)
    order = used[np.argsort(flat[used], kind="stable")]
    counts = np.bincount(flat[used], minlength=experts)
    row = np.full(flat.size, -1, np.int32)
    row[order] = np.arange(order.size)
    perm = np.full(flat.size, -1, np.int32)
    perm[: order.size] = order
    return row.reshape(np.shape(indices)), perm, np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def dispatch(x: np.ndarray, perm: np.ndarray, k: int) -> np.ndarray:
    """Rows of tokens in the order of their experts.

    Parameters
    ----------
    x : array [T, H]
    perm : array [N] i32
        As of `assign`.
    k : int
        Slots for each token.

    Returns
    -------
    array [N, H]
        NaN where perm is -1: such rows must not be read.
    """
    rows = np.full((len(perm), x.shape[1]), np.nan, x.dtype)
    used = perm >= 0
    rows[used] = x[perm[used] // k]
    return rows


def combine(ys: np.ndarray, row: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Add up the weighted rows of each token.

    Parameters
    ----------
    ys : array [N, H]
    row : array [T, k] i32
        Where each slot's row is; -1 adds nothing.
    weights : array [T, k]

    Returns
    -------
    array [T, H] f32
    """
    result = np.zeros((row.shape[0], ys.shape[1]), np.float64)
    for slot in range(row.shape[1]):
        used = row[:, slot] >= 0
        result[used] += weights[used, slot, None].astype(np.float64) * ys[row[used, slot]]
    return result.astype(np.float32)
