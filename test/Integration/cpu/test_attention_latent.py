# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Latent attention in its absorbed form: many query heads, one wide row per position that is key and value at once."""

import subprocess

import numpy as np
import pytest

import moec
from moec.native import find_tool

_HEADS, _MAX_LEN = 128, 40

_TEXT = """
!ids = tensor<?xi32>
!q = tensor<?x128x{size}xf32>
!rows = tensor<?x1x{size}xf32>
!cache = memref<1x?x1x?x{size}xf32>

func.func @attend(
    %q: !q {{moe.dims = ["N", 128, {size}]}}, %rows: !rows {{moe.dims = ["N", 1, {size}]}},
    %cu: !ids {{moe.dims = ["B+1"]}}, %past: !ids {{moe.dims = ["B"]}}, %slot: !ids {{moe.dims = ["B"]}},
    %cache: !cache {{moe.name = "cache", moe.dims = [1, "slots", 1, "max_len", {size}], moe.state}})
    -> (!q {{moe.dims = ["N", 128, {size}]}}) {{
  %c0 = arith.constant 0 : index
  moe.cache_update %rows, %cu, %past, %slot into %cache[%c0] : !rows, !ids, !ids, !ids, !cache
  %n = tensor.dim %q, %c0 : !q
  %init = tensor.empty(%n) : !q
  %o = moe.attention ins(%q, %cu, %past, %slot : !q, !ids, !ids, !ids)
         cache(%cache, %cache at %c0 : !cache) outs(%init : !q) {{scale = 0.05 : f32}} -> !q
  return %o : !q
}}
"""


@pytest.fixture(scope="module", params=[576, 67], ids=["512+64", "odd"])
def size(request):
    return request.param


@pytest.fixture(scope="module", params=[1, 3], ids=["one thread", "three threads"])
def attend(request, size, isa, tmp_path_factory):
    package = tmp_path_factory.mktemp("latent") / "p.moe"
    command = [find_tool("moe-compile"), "-", f"--isa={isa}", "-o", package]
    subprocess.run(command, input=_TEXT.format(size=size), text=True, check=True)
    model = moec.load(package, request.param)
    model.reserve(2, _MAX_LEN, _MAX_LEN)
    return model.attend


def sequence(size, length):
    random = np.random.default_rng(length)
    return tuple(random.standard_normal((length, heads, size), np.float32) for heads in (_HEADS, 1))


def test_agrees_with_numpy(attend, size):
    q, rows = sequence(size, _MAX_LEN)
    keys = rows[:, 0].astype(np.float64)
    scores = 0.05 * np.einsum("ihd,jd->hij", q, keys)
    scores = np.where(np.tri(_MAX_LEN, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    expected = np.einsum("hij,jd->ihd", weights / weights.sum(axis=-1, keepdims=True), keys)
    # What float32 loses in dot products of `size` terms, an exponential and a sum over positions.
    np.testing.assert_allclose(attend(q, rows, [0, _MAX_LEN], [0], [1]), expected, rtol=0, atol=1e-5)


def test_chunks_agree_in_bits(attend, size):
    q, rows = sequence(size, 35)
    whole = attend(q, rows, [0, 35], [0], [0])
    for begin, end in ((0, 1), (1, 33), (33, 34), (34, 35)):
        chunk = attend(q[begin:end], rows[begin:end], [0, end - begin], [begin], [1])
        np.testing.assert_array_equal(chunk, whole[begin:end])
