# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rows times one matrix, rows times their expert's matrix, and what gates them."""

import numpy as np
import pytest
import rounding

from moec import reference

ROWS = (0, 1, 2, 17, 70)

OFFSETS = {
    "even": [0, 3, 7, 9, 12, 17],
    "empty first and last": [0, 0, 9, 9, 17, 17],
    "one expert": [0, 0, 0, 17, 17, 17],
    "one row": [0, 0, 1, 1, 1, 1],
    "no row": [0, 0, 0, 0, 0, 0],
}


def random_rows(count, width):
    return np.random.default_rng(count).standard_normal((count, width)).astype(np.float32)


def check_product(y, x, weights, offsets=None):
    assert y.shape == (len(x), weights.shape[-2])
    assert (np.abs(y - reference.grouped_matmul(x, weights, offsets)) <= rounding.product(x, weights, offsets)).all()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", ["one", "sum", "fan", "narrow", "wide"])
def test_dense(program, dtype, name, rows):
    dense = program("dense", dtype)
    weights = dense.weights[f"{name}.weight"]
    x = random_rows(rows, weights.shape[1])
    check_product(getattr(dense, name)(x), x, weights)


@pytest.mark.parametrize("rows", ROWS)
def test_dense_of_argument(program, rows):
    x, weights = random_rows(rows, 36), random_rows(23, 36)
    check_product(program("dense").of_argument(x, weights), x, weights)


@pytest.mark.parametrize("case", OFFSETS)
def test_grouped(program, dtype, case):
    grouped, offsets = program("grouped_matmul", dtype), np.array(OFFSETS[case])
    x = random_rows(offsets[-1], 36)
    check_product(grouped.narrow(x, offsets), x, grouped.weights["narrow.weight"], offsets)
    weights = random_rows(5 * 23, 36).reshape(5, 23, 36)
    check_product(grouped.of_argument(x, offsets, weights), x, weights, offsets)


@pytest.mark.parametrize("offsets", [[0, 0, 0, 0], [0, 1, 1, 1], [0, 40, 41, 70], [0, 0, 70, 70]])
def test_grouped_wide(program, dtype, offsets):
    grouped, offsets = program("grouped_matmul", dtype), np.array(offsets)
    x = random_rows(offsets[-1], 704)
    check_product(grouped.wide(x, offsets), x, grouped.weights["wide.weight"], offsets)


def test_row_alone(program, dtype):
    """A row's bits do not depend on the rows around it, nor on how many its expert has."""
    dense, grouped = program("dense", dtype), program("grouped_matmul", dtype)
    x = random_rows(70, 232)
    together = dense.wide(x)
    x3 = random_rows(70, 704)
    together3 = grouped.wide(x3, np.array([0, 40, 41, 70]))
    for row in (0, 1, 5, 39, 40, 41, 69):
        np.testing.assert_array_equal(dense.wide(x[row : row + 1])[0], together[row])
        expert = np.searchsorted([40, 41], row, side="right")
        offsets = (np.arange(4) > expert).astype(np.int32)
        np.testing.assert_array_equal(grouped.wide(x3[row : row + 1], offsets)[0], together3[row])


def test_not_finite(program, dtype):
    """NaN and infinity stay in their row; zeros that pad a matrix do not meet them."""
    dense = program("dense", dtype)
    x = random_rows(5, 36)
    expected = dense.narrow(x)
    x[1, 35], x[3, 0] = np.nan, np.inf
    y = dense.narrow(x)
    assert np.isnan(y[1]).all()
    np.testing.assert_array_equal(y[3], np.inf * np.sign(dense.weights["narrow.weight"][:, 0]))
    np.testing.assert_array_equal(y[[0, 2, 4]], expected[[0, 2, 4]])


def test_glu(program):
    rng = np.random.default_rng(0)
    gate, up = rng.normal(0, 4, (2, 17, 23)).astype(np.float32)
    gate[0, :4] = [-200, -88, 88, 200]
    # An exponential, a sum, a quotient, a product.
    np.testing.assert_allclose(
        program("glu").swiglu(gate, up),
        reference.glu(gate, up),
        rtol=(rounding.EXP + 3) * rounding.UNIT,
        atol=1e-36,  # below, exponentials leave f32
    )
    assert program("glu").swiglu(gate[:0], up[:0]).shape == (0, 23)
