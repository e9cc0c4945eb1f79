# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""moe-run --trace: when the stages of each call ran."""

import json
import subprocess

import pytest

import moec
from moec.native import find_tool

GENERATE = ["--prompt-ids=1,2,3", "--max-new-tokens=4"]


@pytest.fixture(scope="module")
def traced_package(tiny_checkpoint, tmp_path_factory):
    package = tmp_path_factory.mktemp("traced") / "traced.moe"
    command = [find_tool("moe-compile"), "-", f"--checkpoint={tiny_checkpoint}", "-o", package]
    text = moec.import_checkpoint(tiny_checkpoint)
    subprocess.run([*command, "--pipeline-options=trace=true"], input=text, text=True, check=True)
    return package


def run(package, *options):
    command = [find_tool("moe-run"), package, *GENERATE, *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_stages(traced_package, tiny_package, tmp_path):
    """Each call runs the same stages one after the other, those of a layer once in each."""
    path = tmp_path / "trace.json"
    result = run(traced_package, "--threads=2", "--trace", path)
    assert result.stdout == run(tiny_package).stdout
    trace = json.loads(path.read_text())
    assert trace["otherData"]["threads"] == 2 and trace["otherData"]["lost_events"] == 0
    events = trace["traceEvents"]
    ends = [i + 1 for i, event in enumerate(events) if event["name"] == "forward"]
    calls = [events[begin:end] for begin, end in zip([0, *ends], ends)]
    assert len(calls) == 4 and sum(map(len, calls)) == len(events)
    for *stages, call in calls:
        assert [event["name"] for event in stages] == [event["name"] for event in calls[0][:-1]]
        time = call["ts"]
        for stage in stages:
            # Times are rounded to a nanosecond.
            assert time - 0.002 <= stage["ts"]
            time = stage["ts"] + stage["dur"]
        assert time <= call["ts"] + call["dur"] + 0.002
    manifest = json.loads((traced_package / "manifest.json").read_text())
    layers = list(range(manifest["model"]["layers"]))
    for op in ("attention", "expert_ffn", "grouped_matmul @layer0.q.packed"):
        iterations = [event["args"]["iteration"] for event in calls[0] if f"layer0: {op}" in event["name"]]
        assert sorted(set(iterations)) == layers, op
        assert iterations == sorted(iterations)


def test_package_without_stages(tiny_package, tmp_path):
    result = run(tiny_package, "--trace", tmp_path / "trace.json")
    message = "trace: expected a package compiled with trace=true, got one without stages"
    assert (result.returncode, result.stderr) == (1, f"moe-run: {message}\n")
    assert not (tmp_path / "trace.json").exists()
