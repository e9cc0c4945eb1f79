# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The reference's formats of bytes, element by element."""

import numpy as np
import pytest

from moec import reference as R

F32 = np.float32


def weights(columns, sources=1):
    return np.random.default_rng(columns).standard_normal((sources, 40, columns)).astype(F32)


def test_int8_places():
    """Columns 33 and 50 are 1 and 18 of the second panel: one in each half."""
    (weight,) = weights(70)
    packed = R.pack(weight.repeat(2, axis=0), format="int8")
    assert packed.shape == (3, 2 * 2048 + 128)
    for column in (33, 50):
        row, half, c = weight[column // 2], column % 32 // 16, column % 16
        scale = np.abs(row).max() / F32(127)
        assert packed[1, 4096:].view(F32)[column % 32] == scale
        for k in range(128):
            byte = packed[1, k // 64 * 2048 + half * 1024 + k % 64 // 4 * 64 + c * 4 + k % 4]
            assert byte == 128 + (round(float(row[k] / scale)) if k < 70 else 0)


def test_q8_0_places():
    (weight,) = weights(50)
    packed = R.pack(weight, format="q8_0")
    assert packed.shape == (2, 2 * 1088)
    for b, c in np.ndindex(2, 8):
        group = np.pad(weight[32 + c], (0, 14))[32 * b : 32 * b + 32]
        scale = np.abs(group).max() / F32(127)
        assert packed[1, 1088 * b + 1024 : 1088 * b + 1088].view(np.float16)[c] == np.float16(scale)
        for k in range(32):
            q = int(packed[1, 1088 * b + k // 4 * 128 + c * 4 + k % 4]) - 128
            assert abs(q - group[k] / scale) <= 0.5 + 1e-5


def test_q4_0_places():
    (weight,) = weights(50)
    packed = R.pack(weight, format="q4_0")
    assert packed.shape == (2, 2 * 576)
    for b, c in np.ndindex(2, 8):
        group = np.pad(weight[32 + c], (0, 14))[32 * b : 32 * b + 32]
        scale = group[np.abs(group).argmax()] / F32(-8)
        assert packed[1, 576 * b + 512 : 576 * b + 576].view(np.float16)[c] == np.float16(scale)
        for r, j in np.ndindex(4, 4):
            byte = int(packed[1, 576 * b + r * 128 + c * 4 + j])
            for nibble, k in ((byte & 15, 8 * r + j), (byte >> 4, 8 * r + 4 + j)):
                assert nibble == min(15, int(group[k] / scale + F32(8.5)))


def test_mxfp4_places():
    """Each element is the nearest of what a code may stand for."""
    (weight,) = weights(100)
    packed = R.pack(weight, format="mxfp4")
    assert packed.shape == (2, 2 * 1088)
    values = [sign * v for sign in (1, -1) for v in (0, 0.5, 1, 1.5, 2, 3, 4, 6)]
    for b, i, c in np.ndindex(2, 2, 8):
        group = np.pad(weight[32 + c], (0, 28))[64 * b + 32 * i : 64 * b + 32 * i + 32]
        exponent = int(np.floor(np.log2(np.abs(group).max()))) - 2 if group.any() else -127
        assert packed[1, 1088 * b + 1024 + 32 * i + c] == exponent + 127
        for r, j in np.ndindex(4, 4):
            byte = int(packed[1, 1088 * b + (4 * i + r) * 128 + c * 4 + j])
            for code, k in ((byte & 15, 8 * r + j), (byte >> 4, 8 * r + 4 + j)):
                scaled = group[k] / 2.0**exponent
                assert abs(values[code] - scaled) == min(abs(value - scaled) for value in values)


@pytest.mark.parametrize(
    "scaled, code", [(0.25, 0), (0.75, 2), (1.25, 2), (1.75, 4), (2.5, 4), (3.5, 6), (5, 6), (7, 7)]
)
def test_mxfp4_of_two_takes_the_even_code(scaled, code):
    packed = R.pack(np.array([[scaled, 7.5], [-scaled, 7.5]], F32), format="mxfp4")
    assert (packed[0, 0], packed[0, 4]) == (code, code + 8)


def test_q4_0_first_extreme_has_the_sign():
    """Of two opposite extremes, the first is exact and the other loses an eighth."""
    weight = np.array([[1, -8, 8, 0], [1, 8, -8, 0]], F32)
    (unpacked,) = R.unpack(R.pack(weight, format="q4_0"), "q4_0", 2, 4)
    np.testing.assert_array_equal(unpacked, [[1, -8, 7, 0], [1, 8, -7, 0]])


@pytest.mark.parametrize("columns", [1, 31, 65])
@pytest.mark.parametrize("format", ["f32", "bf16", "f16", "int8", "q8_0", "q4_0", "mxfp4"])
def test_unpack_reads_what_pack_wrote(format, columns):
    """Small integers are exact in each format, if the scale is 1."""
    gate, up = np.random.default_rng(0).choice([-4, -2, 0, 2, 4], (2, 3, 40, columns)).astype(F32)
    for weight in (gate, up):
        weight[..., ::32] = {"int8": 127, "q8_0": 127, "q4_0": -8}.get(format, 4)
    packed = R.pack(gate, up, format=format)
    for unpacked, weight in zip(R.unpack(packed, format, 40, columns, sources=2), (gate, up), strict=True):
        np.testing.assert_array_equal(unpacked, weight)


def test_round_rows():
    rows = np.random.default_rng(0).standard_normal((5, 70)).astype(F32)
    rows[2] = 0
    rows[3] *= F32(2.0**-125)
    np.testing.assert_array_equal(R.round_rows(rows, "f32"), rows)
    bf16 = R.round_rows(rows, "bf16")
    assert not (bf16.view(np.uint32) & 0xFFFF).any()
    np.testing.assert_allclose(bf16, rows, rtol=2**-8, atol=2**-134)
    for format, width in (("int8", 70), ("q8_0", 32), ("q4_0", 32), ("mxfp4", 32)):
        rounded = R.round_rows(rows, "int8", format)
        assert not rounded[2:4].any()
        for begin in range(0, 70, width):
            group, values = rows[:2, begin : begin + width], rounded[:2, begin : begin + width]
            unit = np.abs(group).max(axis=1, keepdims=True) / 127
            np.testing.assert_allclose(values / unit, np.rint(group / unit), rtol=1e-6)
