# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Level neon in an emulator: what the tests of the other levels ask, and the same tokens as theirs.

The emulator computes what the CPU would, so that bits can be compared; it says nothing about time.
"""

import functools
import json
import subprocess
from pathlib import Path

import pytest
from emulation import MOE_RUN, Emulated, build_runtime
from programs import compile_program
from test_attention import (  # noqa: F401
    attention,
    test_everything,
    test_large_scores,
    test_nothing,
    test_prompt,
    test_whole_alone_and_in_chunks,
    test_write,
)
from test_experts import test_block, test_experts, test_ties_and_extremes, test_token_alone, test_uneven  # noqa: F401
from test_formats import FORMATS, Formats  # noqa: F401
from test_formats import test_experts as test_experts_in_formats  # noqa: F401
from test_formats import test_grouped as test_grouped_in_formats  # noqa: F401
from test_formats import test_row_alone as test_row_alone_in_formats  # noqa: F401
from test_formats import test_rows_of_all_sizes as test_rows_of_all_sizes_in_formats  # noqa: F401
from test_layers import test_stack  # noqa: F401
from test_products import (  # noqa: F401
    test_dense,
    test_glu,
    test_grouped,
    test_grouped_wide,
    test_not_finite,
    test_row_alone,
)
from test_routing import test_batch, test_extremes, test_large_differences, test_route  # noqa: F401

import moec
from moec.native import find_tool

_BIBLE = Path(__file__).parents[3] / "models" / "bible" / "checkpoint"
GENERATE = ["--prompt-ids=73,110,32", "--max-new-tokens=32"]


@pytest.fixture(scope="module")
def emulate(tmp_path_factory):
    """Compiles a program for AArch64 and starts it in the emulator, once for the same arguments."""
    executable, running = build_runtime(tmp_path_factory.mktemp("calls")), []

    @functools.lru_cache(maxsize=None)
    def start(name, dtype, *options):
        folder = tmp_path_factory.mktemp(name)
        running.append(Emulated(compile_program(name, dtype, True, folder, ["--isa=neon", *options]), executable))
        return running[-1]

    yield start
    for program in running:
        program.close()


@pytest.fixture
def program(emulate):
    return lambda name, dtype="f32": emulate(name, dtype)


@pytest.fixture(
    scope="module",
    params=[(format, compute) for compute in ("f32", "bf16") for format in FORMATS[compute]],
    ids="-".join,
)
def formats(request, emulate):
    format, compute = request.param
    return Formats(emulate("formats", "f32", f"--format={format}", f"--compute={compute}"), format, compute)


def test_unfused(emulate):
    """Each op alone, as scalar loops."""
    test_block(lambda *_: emulate("olmoe_block", "f32", "--pipeline-options=fuse=false"), "f32", "olmoe_block", 17)


@pytest.fixture(scope="module")
def models(emulate, tmp_path_factory):
    """The shipped model, compiled for AArch64 and for this machine."""
    folder = tmp_path_factory.mktemp("models")
    moec.compile_checkpoint(_BIBLE, folder / "neon", isa="neon")
    moec.compile_checkpoint(_BIBLE, folder / "native")
    return folder


def run(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_model(models):
    """The same tokens as on this machine, which no two candidates that are almost equal spoil."""
    tokens = run(*MOE_RUN, models / "neon", *GENERATE).stdout
    assert len(tokens.split()) == 32
    assert tokens == run(find_tool("moe-run"), models / "native", *GENERATE).stdout


def test_weights(models):
    """The bytes of weights are the same for every architecture."""
    one, other = ((models / name / "weights.safetensors").read_bytes() for name in ("neon", "native"))
    assert one == other


def test_other_architecture(models):
    with pytest.raises(moec.Error, match="neon/module.so: expected code for x86_64, got aarch64-unknown-linux-gnu$"):
        moec.load(models / "neon")
    result = run(*MOE_RUN, models / "native", *GENERATE)
    assert result.returncode == 1
    assert "native/module.so: expected code for aarch64, got x86_64-unknown-linux-gnu" in result.stderr


def test_trace(models, tmp_path):
    """Code and runtime read the same counter: the stages of a call take most of its time."""
    command = [find_tool("moe-compile"), "-", "-o", tmp_path / "package", f"--checkpoint={_BIBLE}", "--isa=neon"]
    options = ["--pipeline-options=trace=true"]
    subprocess.run([*command, *options], input=moec.import_checkpoint(_BIBLE), text=True, check=True)
    assert run(*MOE_RUN, tmp_path / "package", *GENERATE, "--trace", tmp_path / "trace.json").returncode == 0
    *events, call = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    stages = [event["dur"] for event in events if event["ts"] >= call["ts"]]
    assert len(stages) > 10 and 0.5 * call["dur"] < sum(stages) <= call["dur"]
