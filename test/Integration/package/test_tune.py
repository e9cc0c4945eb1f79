# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Targets: what --tune writes, later compilations read, and no bit depends on it."""

import json
import subprocess

import numpy as np
import pytest

import moec
from moec import ops
from moec.native import find_tool

HIDDEN, INNER, EXPERTS, TOP_K, TOKENS = 192, 160, 6, 2, 100

SMALL = {"block_k": 64, "chunk_bytes": 1, "items_per_thread": 1, "chunks_per_thread": 1}
"""Choices that are far from any default, for rows of several blocks and groups of several chunks."""


@pytest.fixture(scope="module")
def program():
    program, rng = ops.Program(), np.random.default_rng(0)
    shapes = {"gate": (EXPERTS, INNER, HIDDEN), "up": (EXPERTS, INNER, HIDDEN), "down": (EXPERTS, HIDDEN, INNER)}
    router = program.weight("router", rng.normal(0, 0.1, (EXPERTS, HIDDEN)))
    gate, up, down = (program.weight(name, rng.normal(0, 0.1, shape)) for name, shape in shapes.items())

    @program.function(x=ops.f32("T", HIDDEN))
    def layer(x):
        scores = ops.score(ops.linear(x, router), "softmax")
        experts = ops.select(scores, TOP_K)
        return ops.expert_ffn(x, experts, ops.weigh(scores, experts), gate, up, down)

    return program


def run(program, package, **options):
    moec.compile(program, package, **options)
    return moec.load(package).layer(np.random.default_rng(1).normal(0, 1, (TOKENS, HIDDEN)).astype(np.float32))


def tune(text, *options):
    command = [find_tool("moe-compile"), "-", "--tune-seconds=0", *options]
    return subprocess.run(command, input=text, capture_output=True, text=True)


def test_tune(program, tmp_path):
    """The router's weights are numbers, the experts' are bytes."""
    target = tmp_path / "target.json"
    result = tune(str(program), f"--tune={target}", "--format=q4_0", "--compute=int8")
    assert result.returncode == 0, result.stderr
    text = json.loads(target.read_text())
    assert set(text) == {"machine", "kernels", "measured"}
    assert set(text["machine"]) == {
        "L1_cache_size_in_bytes",
        "L2_cache_size_in_bytes",
        "clock",
        "core_bandwidth",
        "bandwidth",
    }
    assert set(text["kernels"]) <= set(text["measured"])
    (name,) = (name for name, measured in text["measured"].items() if "expert_ffn" in measured["product"])
    assert name.endswith(" q4_0*int8")
    measured = text["measured"][name]
    assert [call["tokens"] for call in measured["calls"]] == [1, 16, 256, 1024]
    assert all(call["microseconds"] > 0 for call in measured["calls"])
    assert {tried["member"] for tried in measured["tried"]} <= set(measured["model"])

    plain = run(program, tmp_path / "plain.moe", format="q4_0", compute="int8")
    tuned = run(program, tmp_path / "tuned.moe", format="q4_0", compute="int8", target=target)
    np.testing.assert_array_equal(plain, tuned)


def test_bits(program, tmp_path):
    """Work that is cut otherwise is other code with the same results."""
    target = tmp_path / "target.json"
    target.write_text(json.dumps({"kernels": {f"{isa} f32*f32": SMALL for isa in ("v3", "v4")}}))
    plain = run(program, tmp_path / "plain.moe")
    small = run(program, tmp_path / "small.moe", target=target)
    np.testing.assert_array_equal(plain, small)
    assert (tmp_path / "plain.moe/module.so").read_bytes() != (tmp_path / "small.moe/module.so").read_bytes()


def test_explain_uses_the_target(program, tmp_path):
    target = tmp_path / "target.json"
    command = [find_tool("moe-compile"), "-", "--explain", "--isa=v4", f"--target={target}"]

    def microseconds(machine):
        target.write_text(json.dumps({"machine": machine}))
        result = subprocess.run(command, input=str(program), capture_output=True, text=True, check=True)
        return [float(line.split()[4]) for line in result.stdout.splitlines() if "fma 1x32" in line][0]

    # One token waits for memory: half the bandwidth, twice the time.
    ratio = microseconds({"core_bandwidth": 10**9}) / microseconds({"core_bandwidth": 2 * 10**9})
    assert ratio == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "expected JSON, got"),
        ("[]", "expected an object with a machine and kernels"),
        ('{"cores": 2}', "expected objects machine, kernels and measured, got cores: 2"),
        ('{"machine": 2}', "expected objects machine, kernels and measured, got machine: 2"),
        ('{"machine": {"clock": "fast"}}', 'expected clock to be a positive integer, got "\\22fast\\22"'),
        ('{"machine": {"L3": 1}}', "bandwidth, got L3"),
        ('{"kernels": {"v9 f32*f32": {}}}', "expected a kernel as amx bf16*bf16, got v9 f32*f32"),
        ('{"kernels": {"v4 f32*f32": {"block_k": 32}}}', "expected block_k to be a positive multiple of 64, got 32"),
        ('{"kernels": {"v4 f32*f32": {"chunk_bytes": -1}}}', "expected chunk_bytes to be a positive integer, got -1"),
    ],
)
def test_bad_targets(program, tmp_path, text, message):
    target = tmp_path / "target.json"
    target.write_text(text)
    with pytest.raises(moec.Error) as error:
        moec.compile(program, tmp_path / "layer.moe", target=target)
    assert f"'{target}': " in str(error.value)
    assert message in str(error.value)
    assert not (tmp_path / "layer.moe").exists()


def test_no_target(program, tmp_path):
    with pytest.raises(moec.Error, match="No such file"):
        moec.compile(program, tmp_path / "layer.moe", target=tmp_path / "target.json")


def test_nothing_to_tune(tmp_path):
    target = tmp_path / "target.json"
    result = tune("func.func @f(%x: tensor<2xf32>) -> tensor<2xf32> { return %x : tensor<2xf32> }", f"--tune={target}")
    assert result.returncode == 1
    assert "expected a module with packed products to tune for" in result.stderr
    assert not target.exists()
