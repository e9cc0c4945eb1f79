# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The choice of the next token."""

import numpy as np
import pytest

from moec import Error
from moec.sample import check_sampling, choose

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))


def draw(top_p=1.0, temperature=1.0, count=4000):
    random = np.random.default_rng(0)
    drawn = [choose(LOGITS, temperature, top_p, random) for _ in range(count)]
    return np.bincount(drawn, minlength=4) / count


def test_greedy():
    random = np.random.default_rng(0)
    assert choose(np.float32([1, 3, 3, 2]), 0, 1, random) == 1
    assert choose(np.float32([-np.inf, -np.inf]), 0, 1, random) == 0


def test_nan():
    with pytest.raises(Error, match="logits: expected numbers, got NaN"):
        choose(np.float32([1, np.nan]), 0, 1, np.random.default_rng(0))


def test_probabilities():
    np.testing.assert_allclose(draw(), [0.1, 0.4, 0.2, 0.3], atol=0.03)
    sharp = np.array([0.1, 0.4, 0.2, 0.3]) ** 2
    np.testing.assert_allclose(draw(temperature=0.5), sharp / sharp.sum(), atol=0.03)


@pytest.mark.parametrize("top_p, kept", [(0.39, [1]), (0.41, [1, 3]), (0.69, [1, 3]), (0.8, [1, 2, 3]), (1e-9, [1])])
def test_top_p(top_p, kept):
    assert np.flatnonzero(draw(top_p)).tolist() == kept


@pytest.mark.parametrize("temperature", [0.5, 3, 100])
def test_top_p_of_many(temperature):
    """However flat the distribution: the fewest tokens that are enough, and no other."""
    logits = np.random.default_rng(1).normal(0, 3, 300).astype(np.float32)
    random = np.random.default_rng(0)
    drawn = {choose(logits, temperature, 0.7, random) for _ in range(8000)}
    powers = np.exp(logits.astype(np.float64) / temperature)
    order = np.argsort(-powers)
    kept = order[: 1 + np.searchsorted(np.cumsum(powers[order]), 0.7 * powers.sum())]
    assert drawn <= set(kept.tolist())
    # What is drawn 20 times in the mean is drawn.
    assert drawn >= set(kept[8000 * powers[kept] >= 20 * powers[kept].sum()].tolist())


@pytest.mark.parametrize(
    "temperature, top_p, name",
    [(-1, 1, "temperature"), (np.nan, 1, "temperature"), (np.inf, 1, "temperature"), (1, 0, "top_p"), (1, 2, "top_p")],
)
def test_refused(temperature, top_p, name):
    with pytest.raises(Error, match=f"^{name}: expected"):
        check_sampling(temperature, top_p)
