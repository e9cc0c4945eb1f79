# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The benchmark measures what it says: routing as chosen, exact results, the compiled layer, who is faster."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from moec import reference

BENCH = Path(__file__).resolve().parents[1] / "Bench"
sys.path[:0] = [str(BENCH), str(BENCH / "peers")]

import report  # noqa: E402
from contender import Contender, Refusal  # noqa: E402
from environments import OURS  # noqa: E402
from layer import Exact, make_inputs, write_weights  # noqa: E402
from shapes import Shape  # noqa: E402
from worker import Weights  # noqa: E402

SHAPE = Shape("tiny", hidden=40, inner=24, experts=6, top_k=2, shared=48)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    write_weights(SHAPE, folder)
    return folder


def chosen(rows):
    """Experts of each token: the largest of the first coordinates."""
    return np.argsort(-rows[..., : SHAPE.experts], -1)[..., : SHAPE.top_k]


def test_routing():
    balanced, active = make_inputs(SHAPE, 200, "balanced", 5)
    counts = np.bincount(chosen(balanced).ravel(), minlength=SHAPE.experts)
    assert active == SHAPE.experts and counts.max() < 1.3 * counts.min()
    skewed, _ = make_inputs(SHAPE, 200, "skewed", 5)
    assert 0.55 < np.mean(chosen(skewed)[..., 0] == 0)
    assert len({*map(tuple, chosen(skewed).reshape(-1, SHAPE.top_k))}) > SHAPE.experts


def test_active():
    _, active = make_inputs(SHAPE, 1, "balanced", 5)
    assert active == SHAPE.top_k


def test_exact(weights, tmp_path):
    """The benchmark's reference is that of the dialect."""
    tensors = {name: Weights(weights / "f32")[name] for name in ("router", "gate", "up", "down")}
    rows = make_inputs(SHAPE, 9, "skewed", 1)[0][0]
    scores = reference.score(rows @ tensors["router"].T, "softmax")
    experts = reference.select(scores, SHAPE.top_k)
    factors = reference.weigh(scores, experts, norm="sum")
    routed = reference.expert_ffn(rows, experts, factors, *(tensors[name] for name in ("gate", "up", "down")))
    alone = Shape("tiny", SHAPE.hidden, SHAPE.inner, SHAPE.experts, SHAPE.top_k)
    got = Exact(alone, Weights(weights / "bf16"), tmp_path)(rows)
    np.testing.assert_allclose(got, routed, rtol=0, atol=1e-5 * np.abs(routed).max())


@pytest.mark.parametrize("format", ["f32", "bf16"])
def test_ours(format, weights, tmp_path):
    """The contender that is ours computes the layer, in every copy, and rotates through inputs."""
    contender = Contender(OURS, 1, tmp_path / "log")
    try:
        levels, folders = ("best", "v3"), {"weights": str(weights), "scratch": str(tmp_path)}
        contender.prepare(shape=asdict(SHAPE), format=format, compute="f32", variants=levels, copies=2, **folders)
        rows = make_inputs(SHAPE, 9, "balanced", 3)[0]
        np.save(tmp_path / "rows.npy", rows)
        contender.inputs(tmp_path / "rows.npy")
        wanted = Exact(SHAPE, Weights(weights / "bf16"), tmp_path / "exact")(rows[0])
        for level in levels:
            got = contender.output(level, tmp_path / "result.npy")
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
        contender.move(os.sched_getaffinity(0))
        assert contender.turn("best", 0.01)
        with pytest.raises(Refusal, match="expected|no code|v9"):
            contender.output("v9", tmp_path / "result.npy")
    finally:
        contender.close()


def cell(tokens, times, ratios):
    contenders = {"ours best": {"median": times, "quartiles": [times, times], "share": 0.5, "error": 1e-7}}
    contenders |= {name: {"median": times * ratio, "ratio": ratio} for name, ratio in ratios.items()}
    return {
        "layer": "olmoe",
        "kind": "f32*f32",
        "routing": "balanced",
        "tokens": tokens,
        "threads": 2,
        "commit": "0123456",
        "disturbed": 0,
        "contenders": contenders | {"other": {"refused": "sizes"}},
    }


def test_report():
    cells = [cell(1, 0.25, {"a": 1.2, "b": 0.98}), cell(16, 0.5, {"a": 0.5}), cell(64, 1, {"a": 2, "b": 3})]
    lines = report.table(cells, "f32*f32").splitlines()
    assert [line.split("|")[-3].strip() for line in lines[4:]] == ["tie", "slower", "faster"]
    assert "0.50" in report.worst(cells).splitlines()[2]
    assert "sizes" in report.refused(cells)
    assert report.curves(cells, report.ratio) == {"olmoe": {"f32*f32": [(0, 0.98), (2, 0.5), (3, 2)]}}
