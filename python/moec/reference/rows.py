# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What experts compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from moec.reference.routing import assign, combine, dispatch


def grouped_matmul(rows: np.ndarray, weights: np.ndarray, offsets: np.ndarray | None = None) -> np.ndarray:
    """Rows times the transpose of their expert's matrix.

    Parameters
    ----------
    rows : array [N, in]
    weights : array [E, out, in], or [out, in] without offsets
    offsets : array [E+1] i32 or None
        Expert e owns the rows offsets[e] to offsets[e+1].

    Returns
    -------
    array [N, out] f32
        NaN past the last offset: such rows must not be read.
    """
    rows, weights = np.asarray(rows, np.float64), np.asarray(weights, np.float64)
    if offsets is None:
        return (rows @ weights.T).astype(np.float32)
    result = np.full((len(rows), weights.shape[1]), np.nan, np.float32)
    for weight, begin, end in zip(weights, offsets[:-1], offsets[1:]):
        result[begin:end] = rows[begin:end] @ weight.T
    return result


def group_add(ys: np.ndarray, bias: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Add to the rows of each expert that expert's vector.

    Parameters
    ----------
    ys : array [N, D]
    bias : array [E, D]
    offsets : array [E+1] i32
        Expert e owns the rows offsets[e] to offsets[e+1].

    Returns
    -------
    array [N, D] f32
        NaN past the last offset: such rows must not be read.
    """
    result = np.full(ys.shape, np.nan, np.float32)
    for vector, begin, end in zip(bias, offsets[:-1], offsets[1:]):
        result[begin:end] = ys[begin:end] + vector
    return result


_UNGATED = {"swiglu": "silu", "geglu": "gelu", "geglu_tanh": "gelu_tanh", "reglu": "relu"}
"""What each gated activation does to its gate."""


def glu(
    gate: np.ndarray,
    up: np.ndarray | None = None,
    kind: str = "swiglu",
    alpha: float = 1.0,
    beta: float = 1.0,
    offset: float = 0.0,
    limit: float | None = None,
    post: bool = False,
) -> np.ndarray:
    """Gated activations (arXiv:2002.05202): act(gate) * (up + offset); or, without up, act(gate).

    Parameters
    ----------
    gate : array [N, I]
    up : array [N, I] or None
    kind : str
        ``"swiglu"``: g / (1 + exp(-alpha g)); ``"geglu"``, ``"geglu_tanh"``: GELU and its approximation by tanh;
        ``"reglu"``: max(g, 0); ``"situ"``: alpha tanh(g / alpha) / (1 + exp(-g)), with beta tanh(up / beta) for up.
        Without up: ``"silu"``, ``"gelu"``, ``"gelu_tanh"``, ``"relu"``, and ``"relu2"``: max(g, 0)^2.
    limit : float or None
        Largest gate and largest absolute value of up; with `post`, largest act(gate) instead of gate.

    Returns
    -------
    array [N, I] f32
    """
    gate = np.asarray(gate, np.float64)
    if limit is not None and not post:
        gate = np.minimum(gate, limit)
    with np.errstate(over="ignore", invalid="ignore"):
        activated = {
            "silu": lambda g: g / (1 + np.exp(-alpha * g)),
            "gelu": lambda g: g / 2 * (1 + np.vectorize(math.erf, otypes=[np.float64])(g / math.sqrt(2))),
            "gelu_tanh": lambda g: g / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (g + 0.044715 * g**3))),
            "relu": lambda g: np.maximum(g, 0),
            "relu2": lambda g: np.maximum(g, 0) ** 2,
            "situ": lambda g: alpha * np.tanh(g / alpha) / (1 + np.exp(-g)),
        }[_UNGATED.get(kind, kind)](gate)
        if limit is not None and post:
            activated = np.minimum(activated, limit)
        if up is None:
            return activated.astype(np.float32)
        up = np.asarray(up, np.float64)
        if limit is not None:
            up = np.clip(up, -limit, limit)
        if kind == "situ":
            up = beta * np.tanh(up / beta)
        return (activated * (up + offset)).astype(np.float32)


def experts(xs: np.ndarray, offsets: np.ndarray, segments: Sequence[int], bodies: Sequence[Callable]) -> np.ndarray:
    """Run any body on the rows of each expert.

    Parameters
    ----------
    xs : array [N, H]
    offsets : array [E+1] i32
        Expert e owns the rows offsets[e] to offsets[e+1].
    segments : sequence of int
        Numbers of consecutive experts that share a body.
    bodies : sequence of callable
        For each segment, a function of an expert's rows and its number within the segment.

    Returns
    -------
    array [N, D] f32
        NaN past the last offset: such rows must not be read.
    """
    parts, expert = [], 0
    for count, body in zip(segments, bodies):
        for number in range(count):
            parts.append(np.asarray(body(xs[offsets[expert] : offsets[expert + 1]], number), np.float32))
            expert += 1
    used = np.concatenate(parts)
    unread = np.full((len(xs) - len(used), used.shape[1]), np.nan, np.float32)
    return np.concatenate([used, unread])


def soft_dispatch(x: np.ndarray, weights: np.ndarray, cu: np.ndarray | None = None) -> np.ndarray:
    """Mix the tokens of each group into slots (arXiv:2308.00951).

    Parameters
    ----------
    x : array [T, H]
    weights : array [T, S]
    cu : array [B+1] i32 or None
        Group b owns the rows cu[b] to cu[b+1]; None is one group.

    Returns
    -------
    array [S * B, H] f32
        Row s * B + b is the sum over the tokens t of group b of weights[t, s] * x[t].
    """
    cu = np.array([0, len(x)]) if cu is None else cu
    x, weights = np.asarray(x, np.float64), np.asarray(weights, np.float64)
    groups = [weights[begin:end].T @ x[begin:end] for begin, end in zip(cu[:-1], cu[1:])]
    return np.stack(groups, axis=1).reshape(-1, x.shape[1]).astype(np.float32)


def soft_combine(ys: np.ndarray, weights: np.ndarray, cu: np.ndarray | None = None) -> np.ndarray:
    """Mix the slots of each group into tokens.

    Parameters
    ----------
    ys : array [S * B, H]
        As `soft_dispatch` orders them.
    weights : array [T, S]
    cu : array [B+1] i32 or None
        Group b owns the rows cu[b] to cu[b+1]; None is one group.

    Returns
    -------
    array [T, H] f32
    """
    cu = np.array([0, len(weights)]) if cu is None else cu
    by_slot = np.asarray(ys, np.float64).reshape(weights.shape[1], len(cu) - 1, ys.shape[1])
    result = np.zeros((len(weights), ys.shape[1]), np.float32)
    for group, (begin, end) in enumerate(zip(cu[:-1], cu[1:])):
        result[begin:end] = weights[begin:end].astype(np.float64) @ by_slot[:, group]
    return result


def expert_ffn(
    x: np.ndarray, indices: np.ndarray, weights: np.ndarray, gate: np.ndarray, up: np.ndarray, down: np.ndarray
) -> np.ndarray:
    """Send each token through its experts: `assign`, `dispatch`, three times `grouped_matmul`, `glu`, `combine`.

    Parameters
    ----------
    x : array [T, H]
    indices : array [T, k] i32
        -1 is no expert.
    weights : array [T, k]
    gate, up : array [E, I, H]
    down : array [E, H, I]

    Returns
    -------
    array [T, H] f32
    """
    row, perm, offsets = assign(indices, len(gate))
    rows = dispatch(x, perm, indices.shape[1])
    hidden = glu(grouped_matmul(rows, gate, offsets), grouped_matmul(rows, up, offsets))
    return combine(grouped_matmul(hidden, down, offsets), row, weights)
