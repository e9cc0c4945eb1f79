# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What experts compute."""

from __future__ import annotations

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


def glu(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """SwiGLU (arXiv:2002.05202): gate / (1 + exp(-gate)) * up.

    Parameters
    ----------
    gate, up : array [N, I]

    Returns
    -------
    array [N, I] f32
    """
    gate = np.asarray(gate, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return (gate / (1 + np.exp(-gate)) * up).astype(np.float32)


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
