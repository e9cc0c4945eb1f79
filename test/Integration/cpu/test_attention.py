# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Ragged sequences over caches whose slots are in any order and hold what others left there."""

import numpy as np
import pytest
from rounding import EXP, UNIT

from moec import reference

SLOTS, MAX_LEN = 4, 80
SCALE = 0.45
FUNCTIONS = {
    "grouped": (6, {}),
    "window": (3, {"window": 4}),
    "chunk": (6, {"chunk": 7}),
    "softcap": (3, {"softcap": 3.0}),
    "sinks": (6, {"window": 40}),
    "shared": (6, {}),
    "biased": (6, {"bias": np.random.default_rng(5).standard_normal((6, 9), np.float32)}),
}
"""Heads, and what the reference is told; arrays are told the program too."""

every_function = pytest.mark.parametrize("name", FUNCTIONS)


def random_values(count, heads, seed):
    return np.random.default_rng(seed).normal(0, 2, (count, heads, 5)).astype(np.float32)


def ragged(counts, past, slot):
    return tuple(np.array(column, np.int32) for column in (np.cumsum([0, *counts]), past, slot))


@pytest.fixture
def attention(program):
    """A program whose caches are full of NaN, so that reading what was not written shows. Its sinks are bf16."""
    attention = program("attention", "bf16")
    attention.reserve(SLOTS, MAX_LEN, SLOTS * MAX_LEN)
    stale = np.full((SLOTS * MAX_LEN, 3, 5), np.nan, np.float32)
    attention.write(stale, stale, *ragged([MAX_LEN] * SLOTS, [0] * SLOTS, range(SLOTS)))
    return attention


def attend(attention, name, q, place):
    arrays = [value for value in FUNCTIONS[name][1].values() if isinstance(value, np.ndarray)]
    return getattr(attention, name)(q, *place, *arrays)


def check_attention(attention, name, q, place):
    switches = dict(FUNCTIONS[name][1])
    if name == "sinks":
        switches["sinks"] = attention.weights["sink"]
    check(attend(attention, name, q, place), attention, q, place, switches, shared=name == "shared")


def check(o, attention, q, place, switches, shared=False):
    keys, values = attention.read()
    if shared:
        values = keys
    expected = reference.attention(q, *place, keys, values, 1, SCALE, **switches)
    largest = reference.attention(q, *place, keys, np.abs(values), 1, SCALE, **switches)
    # A score is a sum of 5 products and a scaling, perhaps a bias, and where there is a cap, at most it with two
    # roundings more and 5 of tanh; its error counts twice in a quotient of exponentials. Then come sums over the
    # positions.
    score = SCALE * 5 * np.abs(q).max(initial=0) * np.nanmax(np.abs(keys[1]), initial=0)
    error = 7 * score + np.abs(switches.get("bias", 0)).max() + 7 * switches.get("softcap", 0)
    bound = (2 * error + 2 * (EXP + MAX_LEN)) * UNIT * largest
    assert o.shape == q.shape
    assert (np.abs(o - expected) <= bound).all()


def test_write(attention):
    """New rows go to their slot and position in their layer, and nothing else changes."""
    expected = [cache.copy() for cache in attention.read()]
    assert all(np.isnan(cache[1]).all() and not cache[0].any() for cache in expected)
    new = random_values(12, 3, 0), random_values(12, 3, 1)
    place = ragged([5, 0, 6, 1], [7, 2, 0, 79], [2, 1, 3, 0])
    attention.write(*new, *place)
    for cache, rows in zip(expected, new):
        reference.cache_update(rows, *place, cache, 1)
    np.testing.assert_array_equal(attention.read(), expected)


@every_function
@pytest.mark.parametrize(
    "counts, slot",
    [([], []), ([1], [3]), ([17], [0]), ([5, 1, 0, 11], [2, 0, 3, 1]), ([80, 33, 64, 65], [3, 1, 2, 0])],
    ids=["no sequence", "one token", "one sequence", "ragged", "long"],
)
def test_prompt(attention, name, counts, slot):
    total, place = sum(counts), ragged(counts, [0] * len(counts), slot)
    attention.write(random_values(total, 3, 1), random_values(total, 3, 2), *place)
    check_attention(attention, name, random_values(total, FUNCTIONS[name][0], 3), place)


@every_function
def test_whole_alone_and_in_chunks(attention, name):
    """A sequence in chunks, beside others and in another slot has the bits of the whole one alone."""
    heads, _ = FUNCTIONS[name]
    k, v, q = (random_values(70, n, n) for n in (3, 3, heads))
    place = ragged([70], [0], [1])
    attention.write(k, v, *place)
    whole = attend(attention, name, q, place)
    other = [random_values(70, n, n + 9) for n in (3, 3, heads)]
    begin = 0
    for end in (1, 2, 31, 32, 33, 65, 70):
        chunk = [np.concatenate([o[begin:end], own[begin:end]]) for o, own in zip(other, (k, v, q))]
        place = ragged([end - begin] * 2, [begin] * 2, [3, 2])
        attention.write(*chunk[:2], *place)
        np.testing.assert_array_equal(attend(attention, name, chunk[2], place)[end - begin :], whole[begin:end])
        begin = end


@every_function
def test_large_scores(attention, name):
    """Scores whose exponentials leave f32: the largest one wins."""
    place = ragged([9], [0], [0])
    attention.write(40 * random_values(9, 3, 1), random_values(9, 3, 2), *place)
    check_attention(attention, name, 40 * random_values(9, FUNCTIONS[name][0], 3), place)


def test_everything(attention):
    """All rows of a sequence see as many positions as they are told, their own or not, however rows are cut."""
    attention.write(random_values(112, 3, 1), random_values(112, 3, 2), *ragged([70, 33, 9], [0] * 3, [2, 0, 3]))
    counts, past, slot, lengths = [70, 1, 20], [0, 5, 0], [2, 0, 3], np.array([70, 33, 8], np.int32)
    q, place = random_values(91, 6, 3), ragged(counts, past, slot)
    o = attention.everything(q, *place, lengths)
    check(o, attention, q, place, {"lengths": lengths})
    for begin, end in ((0, 1), (1, 40), (40, 70)):
        part = attention.everything(q[begin:end], *ragged([end - begin], [begin], [2]), lengths[:1])
        np.testing.assert_array_equal(part, o[begin:end])


def test_nothing(attention):
    """A row that sees nothing is NaN, and its neighbour in the call is not."""
    attention.write(random_values(3, 3, 1), random_values(3, 3, 2), *ragged([3], [0], [1]))
    q, place, lengths = random_values(2, 6, 3), ragged([1, 1], [0, 0], [0, 1]), np.array([0, 3], np.int32)
    o = attention.everything(q, *place, lengths)
    assert np.isnan(o[0]).all() and np.isfinite(o[1]).all()
    keys, values = attention.read()
    expected = reference.attention(q, *place, keys, values, 1, SCALE, lengths=lengths)
    np.testing.assert_array_equal(np.isnan(o), np.isnan(expected))
