# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Products with weights in every format, of rows rounded in every way, at every level.

The reference multiplies what the format makes of the weights with what `compute` makes of the rows, so that what
remains is the rounding of sums.
"""

import functools
import json

import levels
import numpy as np
import pytest
import rounding
from programs import Program, compile_program

import moec
from moec import ops, reference

FORMATS = {
    "f32": ["f32", "bf16", "f16", "int8", "q8_0", "q4_0", "mxfp4"],
    "bf16": ["bf16", "int8", "q8_0", "q4_0", "mxfp4"],
    "int8": ["int8", "q8_0", "q4_0", "mxfp4"],
}
"""Of weights, by what rows are multiplied in."""

LEVELS = {
    "f32": ["v3", "v4"],
    "bf16": ["v3", "v4", "amx_emulated", "amx"],
    "int8": ["v3", "vnni", "amx_emulated", "amx"],
}
"""That differ, by what rows are multiplied in."""

KERNELS = [(format, compute, level) for compute in FORMATS for format in FORMATS[compute] for level in LEVELS[compute]]

ROWS = (0, 1, 2, 17, 33, 70)
GROUPS = ([0, 0, 0, 0], [0, 1, 1, 1], [0, 40, 41, 70], [0, 0, 70, 70], [0, 16, 37, 37])
UNITS = {"bf16": 2.0**-7, "int8": 1 / 127}
"""How far apart neighbours are among rounded elements, relative to themselves or to the largest."""


class Formats:
    """The program, packed in a format and computing in a type, and what it shall compute."""

    def __init__(self, program: Program, format: str, compute: str):
        self.program, self.format, self.compute = program, format, compute

    def weight(self, name):
        """What products multiply with."""
        weight = _unpacked(self.program.weights[name], self.format)
        return reference.round_rows(weight, "bf16", self.format) if self.compute == "bf16" else weight

    def rounded(self, rows):
        return reference.round_rows(rows, self.compute, self.format)

    def check(self, y, x, name, offsets=None):
        """One product is what the reference computes."""
        x, weight = self.rounded(x), self.weight(name)
        assert y.shape == (len(x), weight.shape[-2])
        # A group of 32 elements has a sum of its own, which is converted, scaled twice and added.
        more = 4 * (weight.shape[-1] // 32 + 1)
        bound = rounding.product(x, weight, offsets, more)
        assert (np.abs(y - reference.grouped_matmul(x, weight, offsets)) <= bound).all()


def _unpacked(weight, format):
    flat = weight.reshape(-1, *weight.shape[-2:])
    return reference.unpack(reference.pack(flat, format=format), format, *weight.shape[-2:])[0].reshape(weight.shape)


@pytest.fixture(scope="session")
def packed_programs(tmp_path_factory):
    @functools.lru_cache(maxsize=None)
    def build(format, compute, l2=None):
        folder = tmp_path_factory.mktemp(f"{format}-{compute}")
        options = [f"--format={format}", f"--compute={compute}", f"--isa={','.join(LEVELS[compute])}"]
        if l2:
            (folder / "target.json").write_text(json.dumps({"machine": {"L2_cache_size_in_bytes": l2}}))
            options.append(f"--target={folder / 'target.json'}")
        return compile_program("formats", "f32", True, folder, options)

    return build


@pytest.fixture(scope="module", params=KERNELS, ids="-".join)
def formats(request, packed_programs):
    format, compute, level = request.param
    return Formats(Program(packed_programs(format, compute), levels.require(level)), format, compute)


def random_rows(count, width):
    return np.random.default_rng(count).standard_normal((count, width)).astype(np.float32)


@pytest.mark.parametrize("rows", ROWS)
def test_dense(formats, rows):
    x = random_rows(rows, 65)
    formats.check(formats.program.dense(x), x, "dense.weight")


@pytest.mark.parametrize("rows", ROWS)
def test_wide(formats, rows):
    x = random_rows(rows, 704)
    formats.check(formats.program.wide(x), x, "wide.weight")


@pytest.mark.parametrize("offsets", GROUPS)
def test_grouped(formats, offsets):
    x, offsets = random_rows(offsets[-1], 100), np.array(offsets)
    formats.check(formats.program.grouped(x, offsets), x, "grouped.weight", offsets)


def test_rows_of_all_sizes(formats):
    """Large, small and zero elements, in one row and in rows side by side."""
    x = random_rows(48, 65) * 2.0 ** np.random.default_rng(0).integers(-40, 40, (48, 65))
    x[:16] *= 2.0 ** np.arange(-60, 60, 7.5)[:, None]
    x[20], x[21, 3:40], x[22, :32] = 0, 0, 0
    x = x.astype(np.float32)
    formats.check(formats.program.dense(x), x, "dense.weight")


def test_row_alone(formats):
    """A row's bits do not depend on the rows around it, nor on how many its expert has."""
    x = random_rows(70, 704)
    together = formats.program.wide(x)
    x3 = random_rows(70, 100)
    together3 = formats.program.grouped(x3, np.array([0, 40, 41, 70]))
    for row in (0, 1, 15, 16, 31, 32, 39, 40, 41, 69):
        np.testing.assert_array_equal(formats.program.wide(x[row : row + 1])[0], together[row])
        offsets = (np.arange(4) > np.searchsorted([40, 41], row, side="right")).astype(np.int32)
        np.testing.assert_array_equal(formats.program.grouped(x3[row : row + 1], offsets)[0], together3[row])
    for rows in (2, 5, 16, 33):
        np.testing.assert_array_equal(formats.program.wide(x[:rows]), together[:rows])


CUT = {("f32", "f32"): 256 << 10, ("q4_0", "bf16"): 256 << 10, ("int8", "int8"): 16 << 10}
"""Bytes of caches that do not hold 256 rows of 704 elements, by kernel; in the last one, nor sums of two panels."""


@pytest.mark.parametrize("kernel", [kernel for kernel in KERNELS if kernel[:2] in CUT], ids="-".join)
def test_long_rows(packed_programs, kernel):
    """Rows that the cache does not hold are multiplied range by range, which no bit shows."""
    format, compute, level = kernel
    x, l2 = random_rows(300, 704), CUT[format, compute]
    whole, cut = (Program(packed_programs(format, compute, size), levels.require(level)) for size in (None, l2))
    np.testing.assert_array_equal(cut.wide(x), whole.wide(x))


def test_not_finite(formats):
    """NaN and infinity stay in their row, which is not finite."""
    x = random_rows(5, 65)
    expected = formats.program.dense(x)
    x[1, 64], x[3, 0] = np.nan, np.inf
    y = formats.program.dense(x)
    assert not np.isfinite(y[[1, 3]]).any()
    np.testing.assert_array_equal(y[[0, 2, 4]], expected[[0, 2, 4]])


def choose(tokens):
    """Experts of tokens, some of which have one or none, and their weights."""
    rng = np.random.default_rng(tokens)
    indices = np.array([rng.choice(5, 2, replace=False) for _ in range(tokens)]).reshape(tokens, 2)
    indices[rng.random((tokens, 2)) < 0.1] = -1
    return indices.astype(np.int32), rng.random((tokens, 2)).astype(np.float32)


def expected_experts(formats, x, indices, weights):
    """Tokens through their experts, and how far a result may be because the rows between the products, a little
    different, are rounded to neighbours."""
    gate, up, down = (formats.weight(name) for name in ("gate", "up", "down"))
    row, perm, offsets = reference.assign(indices, len(gate))
    xs = formats.rounded(reference.dispatch(x, perm, 2))
    hidden = reference.glu(reference.grouped_matmul(xs, gate, offsets), reference.grouped_matmul(xs, up, offsets))
    units = np.abs(hidden) * UNITS.get(formats.compute, 0)
    if formats.compute == "int8":
        units = np.broadcast_to(units.max(axis=1, keepdims=True, initial=0), hidden.shape)
    ys = reference.grouped_matmul(formats.rounded(hidden), down, offsets)
    slack = reference.combine(reference.grouped_matmul(units, np.abs(down), offsets), row, weights)
    return reference.combine(ys, row, weights), slack


@pytest.mark.parametrize("tokens", [0, 1, 17, 200])
def test_experts(formats, tokens):
    x, (indices, weights) = random_rows(tokens, 70), choose(tokens)
    expected, slack = expected_experts(formats, x, indices, weights)
    error = np.abs(formats.program.experts(x, indices, weights) - expected)
    bound = rounding.experts(expected, formats.weight("gate"))
    assert (error <= bound + slack).all()
    # Sums that differ by some 1e-6 are seldom on two sides of the middle between neighbours that are some 1e-3 apart.
    exact = (error <= bound).all(axis=1)
    assert exact.mean() > 0.7 if tokens > 1 else True


def test_token_alone(formats):
    x, (indices, weights) = random_rows(70, 70), choose(70)
    together = formats.program.experts(x, indices, weights)
    for token in (0, 1, 15, 16, 42, 69):
        one = slice(token, token + 1)
        np.testing.assert_array_equal(formats.program.experts(x[one], indices[one], weights[one])[0], together[token])


@pytest.mark.parametrize("compute", ["f32", "int8"])
def test_smallest_scale(tmp_path, compute):
    """The smallest scale of mxfp4, 2^-127, is a subnormal number."""
    rng = np.random.default_rng(0)
    weight = (rng.choice([0, 0.5, 1, 3, 6, -6], (40, 64)) * 2.0**-127).astype(np.float32)
    program = ops.Program()
    w = program.weight("w", weight)

    @program.function(x=ops.f32("T", 64))
    def product(x):
        return ops.linear(x, w)

    moec.compile(program, tmp_path / "package", format="mxfp4", compute=compute)
    x = (random_rows(5, 64) * 2.0**100).astype(np.float32)
    rounded = reference.round_rows(x, compute, "mxfp4")
    held = _unpacked(weight, "mxfp4")
    assert (held == weight).all() and held.any()
    y = moec.load(tmp_path / "package", threads=1).product(x)
    assert (np.abs(y - reference.grouped_matmul(rounded, held)) <= rounding.product(rounded, held, None, 12)).all()
