# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Experts from rows to their sum, alone and behind their router."""

import numpy as np
import pytest
import rounding

from moec import reference

BLOCKS = {"olmoe_block": (3, None), "mixtral_block": (2, "sum")}
"""k and norm."""

TOKENS = (0, 1, 17, 67)

every_block = pytest.mark.parametrize("name", BLOCKS)


def random_rows(count, width):
    return np.random.default_rng(count).standard_normal((count, width)).astype(np.float32)


def random_slots(tokens, experts, k):
    """Different experts for each token, and weights of both signs."""
    rng = np.random.default_rng(tokens)
    indices = rng.permuted(np.tile(np.arange(experts), (tokens, 1)), axis=1)[:, :k].astype(np.int32)
    return indices, rng.standard_normal((tokens, k)).astype(np.float32)


def ffn_weights(program):
    return [program.weights[name] for name in ("gate", "up", "down")]


def check_experts(y, x, indices, weights, gate, up, down):
    expected = reference.expert_ffn(x, indices, weights, gate, up, down)
    np.testing.assert_allclose(y, expected, rtol=0, atol=rounding.experts(expected, gate))


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("name", ["experts", "wide_experts"])
def test_experts(program, dtype, name, tokens):
    experts = program(name, dtype)
    gate, up, down = ffn_weights(experts)
    x, slots = random_rows(tokens, gate.shape[2]), random_slots(tokens, len(gate), 2)
    check_experts(experts.experts(x, *slots), x, *slots, gate, up, down)


@pytest.mark.parametrize(
    "indices",
    [[[3, 3]] * 17, [[4, 0]] * 17, [[-1, 2], [0, -1], [-1, -1], [2, 2]], [[-1, -1]] * 2],
    ids=["one expert", "empty experts", "no expert", "nobody"],
)
def test_uneven(program, dtype, indices):
    experts, indices = program("experts", dtype), np.array(indices, np.int32)
    x, weights = random_rows(len(indices), 36), random_rows(len(indices), 2)
    y = experts.experts(x, indices, weights)
    check_experts(y, x, indices, weights, *ffn_weights(experts))
    assert not y[(indices < 0).all(axis=1)].any()


@pytest.mark.parametrize("tokens", TOKENS)
def test_weights_that_are_arguments(program, tokens):
    x, slots = random_rows(tokens, 36), random_slots(tokens, 5, 2)
    rng = np.random.default_rng(1)
    matrices = [rng.normal(0, 0.2, shape).astype(np.float32) for shape in ((5, 23, 36), (5, 23, 36), (5, 36, 23))]
    check_experts(program("expert_arguments").experts(x, *slots, *matrices), x, *slots, *matrices)


@every_block
@pytest.mark.parametrize("tokens", TOKENS)
def test_block(program, dtype, name, tokens):
    block, (k, norm) = program(name, dtype), BLOCKS[name]
    router = block.weights["router"]
    x = random_rows(tokens, router.shape[1])
    slots = reference.route(reference.grouped_matmul(x, router), k, norm)
    check_experts(block.block(x), x, *slots, *ffn_weights(block))


@every_block
def test_token_alone(program, dtype, name):
    """A token's bits do not depend on the batch, whether its experts are busy or its own."""
    block = program(name, dtype)
    x = random_rows(67, block.weights["router"].shape[1])
    together = block.block(x)
    for token in range(0, 67, 5):
        np.testing.assert_array_equal(block.block(x[token : token + 1])[0], together[token])
    np.testing.assert_array_equal(block.block(x[::-1])[::-1], together)


@every_block
def test_ties_and_extremes(program, dtype, name):
    """Tokens whose logits are all equal go to the first experts; what is not finite stays in its row."""
    block = program(name, dtype)
    x = random_rows(5, block.weights["router"].shape[1])
    expected = block.block(x)
    x[1], x[3], x[4, 0] = 0, np.nan, np.inf
    y = block.block(x)
    assert not y[1].any() and np.isnan(y[3:]).all()
    np.testing.assert_array_equal(y[[0, 2]], expected[[0, 2]])
