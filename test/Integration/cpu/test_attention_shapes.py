# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention and cache updates as vector code, against NumPy in float64 and against themselves: how rows are cut into
calls, what shares a call, threads, and what lies in unused parts of the caches change no bit."""

import functools
import subprocess
from dataclasses import dataclass

import numpy as np
import pytest

import moec
from moec.native import find_tool

_SLOTS, _MAX_LEN, _LAYERS, _LAYER = 5, 150, 3, 1

_TEXT = """
!ids = tensor<?xi32>
!q = tensor<?x{heads}x{size}xf32>
!rows = tensor<?x{kv}x{size}xf32>
!cache = memref<{layers}x?x{kv}x?x{size}xf32>
!sinks = tensor<{heads}xf32>
!bias = tensor<{heads}x{columns}xf32>

func.func @attend(
    %q: !q {{moe.dims = ["N", {heads}, {size}]}},
    %k: !rows {{moe.dims = ["N", {kv}, {size}]}}, %v: !rows {{moe.dims = ["N", {kv}, {size}]}},
    %cu: !ids {{moe.dims = ["B+1"]}}, %past: !ids {{moe.dims = ["B"]}}, %slot: !ids {{moe.dims = ["B"]}},
    %sinks: !sinks {{moe.dims = [{heads}]}}, %bias: !bias {{moe.dims = [{heads}, {columns}]}},
    %k_cache: !cache {{moe.name = "k_cache", moe.dims = [{layers}, "slots", {kv}, "max_len", {size}], moe.state}},
    %v_cache: !cache {{moe.name = "v_cache", moe.dims = [{layers}, "slots", {kv}, "max_len", {size}], moe.state}})
    -> (!q {{moe.dims = ["N", {heads}, {size}]}}) {{
  %c0 = arith.constant 0 : index
  %layer = arith.constant {layer} : index
  moe.cache_update %k, %cu, %past, %slot into %k_cache[%layer] : !rows, !ids, !ids, !ids, !cache
  moe.cache_update %v, %cu, %past, %slot into %v_cache[%layer] : !rows, !ids, !ids, !ids, !cache
  %n = tensor.dim %q, %c0 : !q
  %init = tensor.empty(%n) : !q
  %o = moe.attention ins(%q, %cu, %past, %slot : !q, !ids, !ids, !ids)
         cache(%k_cache, %v_cache at %layer : !cache) {operands} outs(%init : !q)
         {{scale = {scale} : f32{switches}}} -> !q
  return %o : !q
}}
"""


@dataclass(frozen=True)
class Shape:
    """What the compiled program is made for."""

    heads: int
    kv: int
    size: int
    window: int | None = None
    chunk: int | None = None
    softcap: float | None = None
    bias: int = 0
    sinks: bool = False

    def __str__(self):
        switches = [name for name in ("window", "chunk", "softcap", "bias", "sinks") if getattr(self, name)]
        return "-".join([f"{self.heads}x{self.size}by{self.kv}", *switches])

    def text(self):
        switches = {"window": "i64", "chunk": "i64", "softcap": "f32"}
        operands = ["bias(%bias : !bias)"] * bool(self.bias) + ["sinks(%sinks : !sinks)"] * self.sinks
        given = {name: type for name, type in switches.items() if getattr(self, name)}
        return _TEXT.format(
            heads=self.heads,
            kv=self.kv,
            size=self.size,
            scale=float(self.size**-0.5),
            layers=_LAYERS,
            layer=_LAYER,
            columns=self.bias,
            operands=" ".join(operands),
            switches="".join(f", {name} = {getattr(self, name)} : {type}" for name, type in given.items()),
        )

    def sink_values(self):
        return np.linspace(-1, 3, self.heads, dtype=np.float32)

    def bias_values(self):
        return np.random.default_rng(9).standard_normal((self.heads, self.bias), np.float32)


_SHAPES = [
    Shape(4, 4, 8),
    Shape(4, 2, 24),
    Shape(6, 1, 40),
    Shape(4, 2, 128),
    Shape(2, 2, 7),
    Shape(23, 1, 9),
    Shape(72, 2, 16),
    Shape(4, 4, 128, window=20),
    Shape(6, 1, 24, window=33),
    Shape(4, 2, 40, window=1),
    Shape(4, 2, 24, chunk=37),
    Shape(2, 2, 8, chunk=1),
    Shape(4, 4, 16, softcap=2.0),
    Shape(6, 2, 24, sinks=True),
    Shape(4, 2, 24, bias=1),
    Shape(6, 3, 8, bias=255),
    Shape(18, 1, 33, window=50, chunk=32, softcap=1.5, bias=21, sinks=True),
]


@pytest.fixture(scope="module", params=_SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.fixture(scope="module")
def attend(shape, isa, tmp_path_factory):
    """Calls the compiled program on some threads. The caches are filled with NaN before, unless `fresh` is false."""
    package = tmp_path_factory.mktemp("attention") / "p.moe"
    command = [find_tool("moe-compile"), "-", f"--isa={isa}", "-o", package]
    subprocess.run(command, input=shape.text(), text=True, check=True)
    sinks, bias = shape.sink_values(), shape.bias_values()

    @functools.lru_cache(maxsize=None)
    def model(threads):
        model = moec.load(package, threads)
        model.reserve(_SLOTS, _MAX_LEN, 1024)
        return model

    def call(q, k, v, cu, past, slot, threads=1, fresh=True):
        if fresh:
            count = _SLOTS * _MAX_LEN
            stale = np.full((count, shape.kv, shape.size), np.nan, np.float32)
            every = np.arange(_SLOTS)
            model(threads).attend(
                np.zeros((count, shape.heads, shape.size), np.float32),
                stale,
                stale,
                np.arange(_SLOTS + 1) * _MAX_LEN,
                0 * every,
                every,
                sinks,
                bias,
            )
        return model(threads).attend(q, k, v, cu, past, slot, sinks, bias)

    return call


class Sequence:
    """Random queries, keys and values of one sequence."""

    def __init__(self, shape, length, seed):
        self.shape = shape
        random = np.random.default_rng(seed)
        draw = functools.partial(random.standard_normal, dtype=np.float32)
        rows = length, shape.kv, shape.size
        self.q, self.k, self.v = 3 * draw((length, shape.heads, shape.size)), draw(rows), draw(rows)

    def __len__(self):
        return len(self.q)

    def part(self, begin, end):
        return self.q[begin:end], self.k[begin:end], self.v[begin:end]

    def expected(self):
        """The definition, in float64."""
        length, heads, size = self.q.shape
        group = heads // self.k.shape[1]
        k, v = (np.repeat(x.astype(np.float64), group, axis=1) for x in (self.k, self.v))
        scores = np.einsum("ihd,jhd->hij", self.q.astype(np.float64), k) * np.float32(size**-0.5)
        i, j = np.mgrid[:length, :length]
        seen = j <= i
        if self.shape.window:
            seen &= j > i - self.shape.window
        if self.shape.chunk:
            seen &= j // self.shape.chunk == i // self.shape.chunk
        if self.shape.bias:
            reach = self.shape.bias // 2
            scores += self.shape.bias_values()[:, reach + np.clip(j - i, -reach, reach)]
        if self.shape.softcap:
            scores = self.shape.softcap * np.tanh(scores / self.shape.softcap)
        scores = np.where(seen, scores, -np.inf)
        sinks = self.shape.sink_values() if self.shape.sinks else np.full(heads, -np.inf)
        largest = np.maximum(scores.max(axis=-1), sinks[:, None])[..., None]
        weights = np.exp(scores - largest)
        weights /= weights.sum(axis=-1, keepdims=True) + np.exp(sinks[:, None, None] - largest)
        return np.einsum("hij,jhd->ihd", weights, v)


def whole(attend, sequence, slot=0, **options):
    return attend(*sequence.part(0, len(sequence)), [0, len(sequence)], [0], [slot], **options)


def in_chunks(attend, sequence, sizes, **options):
    results, begin = [], 0
    for size in sizes:
        part = sequence.part(begin, begin + size)
        results.append(attend(*part, [0, size], [begin], [2], fresh=begin == 0, **options))
        begin += size
    assert begin == len(sequence)
    return np.concatenate(results)


# What float32 loses in dot products of `size` terms, an exponential and a sum of as many positions.
_TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.mark.parametrize("length", [1, 2, 17, 32, 33, 97, _MAX_LEN])
def test_agrees_with_numpy(attend, shape, length):
    sequence = Sequence(shape, length, seed=length)
    np.testing.assert_allclose(whole(attend, sequence), sequence.expected(), **_TOLERANCE)


@pytest.mark.parametrize("sizes", [[1] * 70, [30, 3, 37], [64, 1, 5], [69, 1]], ids=str)
def test_chunks_agree_in_bits(attend, shape, sizes):
    sequence = Sequence(shape, 70, seed=1)
    np.testing.assert_array_equal(in_chunks(attend, sequence, sizes), whole(attend, sequence))


def test_batches_agree_in_bits(attend, shape):
    lengths, slots = [40, 1, 0, 133, 18], [3, 0, 4, 1, 2]
    sequences = [Sequence(shape, length, seed) for seed, length in enumerate(lengths)]
    arrays = [np.concatenate(parts) for parts in zip(*(s.part(0, len(s)) for s in sequences))]
    cu = np.concatenate([[0], np.cumsum(lengths)])
    together = attend(*arrays, cu, [0] * len(slots), slots)
    alone = [whole(attend, sequence, slot) for sequence, slot in zip(sequences, slots)]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_mixture_of_prefill_and_decode_agrees_in_bits(attend, shape):
    first, second = Sequence(shape, 60, seed=1), Sequence(shape, 45, seed=2)
    attend(*first.part(0, 59), [0, 59], [0], [1])
    parts = zip(second.part(0, 45), first.part(59, 60))
    mixed = attend(*(np.concatenate(pair) for pair in parts), [0, 45, 46], [0, 59], [3, 1], fresh=False)
    np.testing.assert_array_equal(mixed[:45], whole(attend, second))
    np.testing.assert_array_equal(mixed[45:], whole(attend, first)[59:])


def test_threads_agree_in_bits(attend, shape):
    sequence = Sequence(shape, 101, seed=3)
    np.testing.assert_array_equal(whole(attend, sequence, threads=3), whole(attend, sequence, threads=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_later_tokens_do_not_reach_back(attend, shape, bad):
    sequence, changed = Sequence(shape, 50, seed=4), Sequence(shape, 50, seed=4)
    changed.k[37:], changed.v[37:] = bad, bad
    np.testing.assert_array_equal(whole(attend, changed)[:37], whole(attend, sequence)[:37])


def test_infinite_scores(attend, shape):
    """Positions with a score of -inf have no weight, even where they are all that a block has."""
    if shape.softcap:
        pytest.skip("a cap makes every score finite")
    sequence = Sequence(shape, 70, seed=5)
    sequence.q[:] = abs(sequence.q)
    sequence.k[:35] = -np.inf
    result = whole(attend, sequence)
    if shape.sinks:
        assert not result[:35].any()
    else:
        assert np.isnan(result[:35]).all()
    sequence.k[:35] = -1e30
    np.testing.assert_array_equal(result[35:], whole(attend, sequence)[35:])
    assert np.isfinite(result[35:]).all()


def test_no_rows(attend, shape):
    q, k = (np.zeros((0, heads, shape.size), np.float32) for heads in (shape.heads, shape.kv))
    assert attend(q, k, k, [0, 0, 0], [0, 4], [1, 0]).shape == q.shape
    assert attend(q, k, k, [0], np.zeros(0, np.int32), np.zeros(0, np.int32)).shape == q.shape
