# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How far f32 may be from the reference, which sums in f64: bounds of rounding errors, element by element.

A sum of n products has an error of at most about n units of the last place of the sum of their absolute values, in any
order and with or without fused multiply-add (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). So a
fused and an unfused program, both within such a bound of the reference, are within twice the bound of each other.
"""

import numpy as np

from moec import reference

UNIT = 2.0**-24
"""Largest relative error of one rounding to f32."""

EXP = 4
"""Roundings that an exponential may be away from the true one, its argument's included."""


def product(rows: np.ndarray, weights: np.ndarray, offsets: np.ndarray | None = None) -> np.ndarray:
    """Bound for `reference.grouped_matmul`."""
    terms = rows.shape[1] + 1
    return terms * UNIT * reference.grouped_matmul(np.abs(rows), np.abs(weights), offsets)


def experts(
    x: np.ndarray,
    indices: np.ndarray,
    weights: np.ndarray,
    gate: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    relative: np.ndarray | float = 0,
) -> np.ndarray:
    """Bound for `reference.expert_ffn`, where weights of slots have a relative error [T, 1] of their own.

    It is the result with all terms positive, times the roundings that a term sees. The slope of silu is at most 1.1,
    and so is its ratio to its argument.
    """
    row, perm, offsets = reference.assign(indices, len(gate))
    rows = np.abs(reference.dispatch(x, perm, indices.shape[1]))
    gate, up, down = (np.abs(weight) for weight in (gate, up, down))
    hidden = 1.1 * reference.grouped_matmul(rows, gate, offsets) * reference.grouped_matmul(rows, up, offsets)
    largest = reference.combine(reference.grouped_matmul(hidden, down, offsets), row, np.abs(weights))
    terms = 2 * x.shape[1] + gate.shape[1] + indices.shape[1] + EXP + 8
    return (terms * UNIT + relative) * largest


def scores(experts: int, error: np.ndarray | float = 0) -> np.ndarray | float:
    """Relative bound for the weights of `reference.route`, where logits have errors of at most `error`."""
    return 2 * error + (2 * EXP + experts + 4) * UNIT
