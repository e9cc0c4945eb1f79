# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who goes where: T tokens, E experts, k slots for each token, N = T * k."""

from __future__ import annotations

import numpy as np


def score(logits: np.ndarray) -> np.ndarray:
    """Softmax over the experts.

    Parameters
    ----------
    logits : array [T, E]

    Returns
    -------
    array [T, E] f32
        Rows sum to 1; a row with NaN or positive infinity is NaN.
    """
    logits = np.asarray(logits, np.float64)
    with np.errstate(invalid="ignore"):
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def select(key: np.ndarray, k: int) -> np.ndarray:
    """The k experts with the largest keys.

    Parameters
    ----------
    key : array [T, E]
    k : int
        Between 1 and E.

    Returns
    -------
    array [T, k] i32
        In order of descending key; of equal keys the lowest index comes first, and NaN comes after every number.
    """
    key = np.asarray(key)
    missing = np.isnan(key)
    order = np.lexsort((-np.where(missing, 0, key), missing), axis=1)
    return order[:, :k].astype(np.int32)


def weigh(scores: np.ndarray, indices: np.ndarray, norm: str | None = None) -> np.ndarray:
    """Scores of the chosen experts.

    Parameters
    ----------
    scores : array [T, E]
    indices : array [T, k] i32
        -1 is no expert.
    norm : str or None
        With ``"sum"``, the weights of a token are divided by their sum.

    Returns
    -------
    array [T, k] f32
        0 where there is no expert.
    """
    weights = np.take_along_axis(np.asarray(scores, np.float64), np.maximum(indices, 0).astype(np.int64), axis=1)
    weights = np.where(indices < 0, 0, weights)
    if norm == "sum":
        with np.errstate(invalid="ignore"):
            weights = weights / weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)


def route(logits: np.ndarray, k: int, norm: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """`score`, `select` and `weigh`.

    Returns
    -------
    indices : array [T, k] i32
    weights : array [T, k] f32
    """
    scores = score(logits)
    indices = select(scores, k)
    return indices, weigh(scores, indices, norm)


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
