# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Two layers in a loop: each reads its own slices of the parameters."""

import numpy as np
import pytest

from moec import reference

# A value passes three sums of 36 terms and one of 23 in each layer: 2 * 131 roundings of 6e-8 each, at most.
TOLERANCE = 1.6e-5


def stack(x, weights):
    for layer in range(2):
        dense, router, gate, up, down = (weights[name][layer] for name in ("dense", "router", "gate", "up", "down"))
        a = reference.grouped_matmul(x, dense)
        indices, scores = reference.route(reference.grouped_matmul(a, router), 3)
        x = x + reference.expert_ffn(a, indices, scores, gate, up, down)
    return x


def random_rows(tokens):
    return np.random.default_rng(tokens).normal(0, 3, (tokens, 36)).astype(np.float32)


@pytest.mark.parametrize("tokens", [0, 1, 17])
def test_stack(program, dtype, tokens):
    layers, x = program("layers", dtype), random_rows(tokens)
    expected = stack(x, layers.weights)
    kept = x.copy()
    y = layers.stack(x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(initial=0))
    np.testing.assert_array_equal(x, kept)


def test_token_alone(program, dtype):
    layers, x = program("layers", dtype), random_rows(17)
    together = layers.stack(x)
    for token in range(17):
        np.testing.assert_array_equal(layers.stack(x[token : token + 1])[0], together[token])
