# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Chooses the next token from logits."""

from __future__ import annotations

import math

import numpy as np

from moec.errors import Error


def check_sampling(temperature: float, top_p: float) -> None:
    """Refuse what `choose` does not define.

    Raises
    ------
    Error
        If the temperature is negative or not finite, or top_p not above 0 and at most 1.
    """
    if not 0 <= temperature < math.inf:
        raise Error(f"temperature: expected a finite number of at least 0, got {temperature}")
    if not 0 < top_p <= 1:
        raise Error(f"top_p: expected a number above 0, at most 1, got {top_p}")


def choose(logits: np.ndarray, temperature: float, top_p: float, random: np.random.Generator) -> int:
    """The next token.

    Parameters
    ----------
    logits : array [vocab] f32
    temperature : float
        0 takes the largest logit, the lowest id on ties; above 0 a token is drawn from softmax(logits / temperature).
    top_p : float
        Draw from the most probable tokens whose probabilities add up to at least this much (arXiv:1904.09751).
    random : numpy.random.Generator

    Raises
    ------
    Error
        If a logit is NaN.
    """
    if np.isnan(logits).any():
        raise Error("logits: expected numbers, got NaN")
    if temperature == 0:
        return int(np.argmax(logits))
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max())
    if top_p == 1:
        cumulative = np.cumsum(powers)
        return int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right"))
    # Few tokens of a large vocabulary are probable: the others are not sorted.
    enough = top_p * powers.sum()
    for cutoff in (2**-8, 2**-16, 0):
        likely = np.flatnonzero(powers >= cutoff)
        if powers[likely].sum() >= enough:
            break
    order = likely[np.argsort(-powers[likely], kind="stable")]
    cumulative = np.cumsum(powers[order])
    last = min(np.searchsorted(cumulative, enough), len(order) - 1)
    drawn = np.searchsorted(cumulative, random.random() * cumulative[last], side="right")
    return int(order[drawn])
