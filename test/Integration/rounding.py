# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How far f32 may be from the reference, which sums in f64.

A fused and an unfused program, both within a bound of the reference, are within twice the bound of each other.
"""

import numpy as np

from moec import reference

UNIT = 2.0**-24
"""Largest relative error of one rounding to f32."""

EXP = 4
"""Roundings that an exponential may be away from the true one, its argument's included."""


def product(rows: np.ndarray, weights: np.ndarray, offsets: np.ndarray | None = None, more: int = 0) -> np.ndarray:
    """Bound for each element of `reference.grouped_matmul`, with so many roundings more than one for each term.

    The error of a sum of n products is at most about n units of the sum of their absolute values, in any order and with
    or without fused multiply-add (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
    """
    terms = rows.shape[1] + 1 + more
    return terms * UNIT * reference.grouped_matmul(np.abs(rows), np.abs(weights), offsets)


def experts(y: np.ndarray, gate: np.ndarray) -> float:
    """Bound for all elements of `reference.expert_ffn` together, with a router before it or without.

    Errors have random signs, so that those of H + I additions in a row are about as large as the root of that number.
    A factor of 4 is for the activation, the weights of slots, and terms that cancel each other; less than 1 is seen.
    """
    _, intermediate, hidden = gate.shape
    return 4 * np.sqrt(hidden + intermediate) * UNIT * np.abs(y).max(initial=0)


def scores(experts: int) -> float:
    """Relative bound for the weights of `reference.route`: two exponentials, a sum and a quotient."""
    return (2 * EXP + experts + 4) * UNIT
