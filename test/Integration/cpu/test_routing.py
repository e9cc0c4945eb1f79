# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who goes where."""

import numpy as np
import pytest
import rounding

from moec import reference

INF, NAN = np.inf, np.nan

KEYS = np.array(
    [
        [0.5, -1, 3, 2, -7, 0.25, 1],
        [-3, -1, -4, -1.5, -9, -2.6, -5],
        [2, 2, 2, 2, 2, 2, 2],
        [0, 1, 1, -1, 1, 0, 1],
        [0.0, -0.0, -0.0, 0.0, -1, -1, -1],
        [-INF, 4, INF, -INF, INF, 0, INF],
        [-INF] * 7,
        [1, NAN, 2, NAN, -5, 3, NAN],
        [NAN, NAN, -INF, NAN, NAN, -INF, NAN],
        [NAN] * 7,
    ],
    np.float32,
)
"""Ordinary, negative, tied, infinite and missing ones."""

FUNCTIONS = {"plain": (7, 3, None), "normalized": (7, 3, "sum"), "first": (7, 1, None), "every": (7, 7, "sum")}
FUNCTIONS |= {"only": (1, 1, None), "wide": (64, 8, "sum")}
"""E, k and norm."""

every_function = pytest.mark.parametrize("name", FUNCTIONS)


def random_logits(tokens, experts):
    return np.random.default_rng(tokens).normal(0, 3, (tokens, experts)).astype(np.float32)


def check_route(routing, name, logits):
    experts, k, norm = FUNCTIONS[name]
    indices, weights = getattr(routing, name)(logits)
    expected_indices, expected_weights = reference.route(logits, k, norm)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_allclose(weights, expected_weights, rtol=rounding.scores(experts))


def test_select(program):
    indices = program("routing").select(KEYS)
    np.testing.assert_array_equal(indices, reference.select(KEYS, 3))
    assert indices.tolist() == [
        [2, 3, 6],
        [1, 3, 5],
        [0, 1, 2],
        [1, 2, 4],
        [0, 1, 2],
        [2, 4, 6],
        [0, 1, 2],
        [5, 2, 0],
        [2, 5, 0],
        [0, 1, 2],
    ]


@every_function
@pytest.mark.parametrize("tokens", [0, 1, 17, 130])
def test_route(program, name, tokens):
    check_route(program("routing"), name, random_logits(tokens, FUNCTIONS[name][0]))


@every_function
def test_batch(program, name):
    """A token alone has the bits that it has in a batch."""
    function = getattr(program("routing"), name)
    logits = random_logits(17, FUNCTIONS[name][0])
    together = function(logits)
    for token in range(17):
        alone = function(logits[token : token + 1])
        np.testing.assert_equal(alone, tuple(result[token : token + 1] for result in together))


@pytest.mark.parametrize("name", ["plain", "normalized", "first", "every"])
def test_extremes(program, name):
    """Where a logit is NaN or infinite, so may be the weights; the indices are defined."""
    check_route(program("routing"), name, KEYS)


def test_large_differences(program):
    """Scores below the smallest normal number keep their order; those that are 0 are tied."""
    logits = np.array([[-100, 0, -95, -90, -300, -92, -200], [5, -200, -99, 0, -1000, 4, 88]], np.float32)
    for name in ("plain", "every"):
        check_route(program("routing"), name, logits)
