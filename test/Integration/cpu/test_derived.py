# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Products with weights that are derived from the checkpoint's."""

import json

import numpy as np
import pytest
import rounding

from moec import reference

OFFSETS = np.array([0, 3, 7, 7, 12, 17])


def random_rows(count, width):
    return np.random.default_rng(count).standard_normal((count, width)).astype(np.float32)


def check_product(y, x, weights, offsets=None):
    assert (np.abs(y - reference.grouped_matmul(x, weights, offsets)) <= rounding.product(x, weights, offsets)).all()


@pytest.mark.parametrize("layer", [0, 2])
def test_rows(program, dtype, layer):
    """A part of a fused projection, of one layer of a stack."""
    views, x = program("views", dtype), random_rows(17, 36)
    check_product(views.keys(x, np.array([layer])), x, views.weights["qkv"][layer, 23:46])


def test_experts(program, dtype):
    """Gate and up interleaved in columns; down a transposed part of what all experts share."""
    views, x = program("views", dtype), random_rows(17, 36)
    fused, flat = views.weights["gate_up"], views.weights["flat"]
    gate, up = (reference.grouped_matmul(x, fused[:, :, i::2].swapaxes(1, 2), OFFSETS) for i in (0, 1))
    down = flat.reshape(5, 23, 36).swapaxes(1, 2)
    expected = reference.grouped_matmul(reference.glu(gate, up), down, OFFSETS)
    bound = rounding.experts(expected, fused[:, :, ::2].swapaxes(1, 2))
    np.testing.assert_allclose(views.experts(x, OFFSETS), expected, rtol=0, atol=bound)


def test_mxfp4(program):
    mxfp4, x = program("mxfp4", "bf16"), random_rows(17, 96)
    weights = reference.mxfp4(mxfp4.weights["blocks"], mxfp4.weights["scales"])
    check_product(mxfp4.whole(x, OFFSETS), x, weights, OFFSETS)
    check_product(mxfp4.part(x, OFFSETS), x, weights[:, ::2], OFFSETS)


def test_fp8(program, dtype):
    fp8, x, offsets = program("fp8", dtype), random_rows(17, 200), np.array([0, 9, 9, 17])
    check_product(fp8.stack(x, offsets), x, fp8.weights["w"], offsets)
    check_product(fp8.odd(x, offsets), x, fp8.weights["fused"][:, 1::2], offsets)


@pytest.mark.parametrize("fuse", [False, True], ids=["unfused", "fused"])
def test_sources_are_not_written(packages, fuse):
    """A package holds what its code loads."""
    manifest = json.loads((packages("mxfp4", "bf16", fuse).path / "manifest.json").read_text())
    names = {parameter["name"] for parameter in manifest["parameters"]}
    assert names == ({"gate_up.packed", "gate.packed"} if fuse else {"gate_up", "gate"})
