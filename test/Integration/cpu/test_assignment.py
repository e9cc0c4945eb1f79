# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Slots sorted by expert, and rows that go there and come back."""

import numpy as np
import pytest
from rounding import UNIT

from moec import reference

INDICES = {
    "random": np.random.default_rng(0).permuted(np.tile(np.arange(5), (17, 1)), axis=1)[:, :3],
    "one expert": np.full((17, 3), 3),
    "empty experts": np.tile([4, 0, 4], (9, 1)),
    "no expert": np.array([[-1, 2, -1], [0, -1, 4], [-1, -1, -1], [2, 2, 1]]),
    "nobody": np.full((2, 3), -1),
    "one token": np.array([[1, 0, 4]]),
    "no token": np.zeros((0, 3), int),
}

every_case = pytest.mark.parametrize("case", INDICES)


@every_case
def test_assign(program, case):
    row, perm, offsets = program("assignment").assign(INDICES[case])
    expected_row, expected_perm, expected_offsets = reference.assign(INDICES[case], 5)
    np.testing.assert_array_equal(row, expected_row)
    np.testing.assert_array_equal(perm.reshape(-1), expected_perm)
    np.testing.assert_array_equal(offsets, expected_offsets)


@every_case
def test_dispatch(program, case):
    x = np.random.default_rng(1).standard_normal((len(INDICES[case]), 19)).astype(np.float32)
    _, perm, offsets = reference.assign(INDICES[case], 5)
    perm = perm[: offsets[-1]]  # other rows are unspecified
    np.testing.assert_array_equal(program("assignment").dispatch(x, perm), reference.dispatch(x, perm, 3))


@every_case
def test_combine(program, case):
    rng = np.random.default_rng(2)
    row, _, offsets = reference.assign(INDICES[case], 5)
    ys = rng.standard_normal((row.size, 19)).astype(np.float32)
    ys[offsets[-1] :] = np.nan  # nobody's
    weights = rng.standard_normal(row.shape).astype(np.float32)
    # Three products and their sum.
    bound = 4 * UNIT * reference.combine(np.abs(ys), row, np.abs(weights))
    y = program("assignment").combine(ys, row, weights)
    assert (np.abs(y - reference.combine(ys, row, weights)) <= bound).all()
