# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What moe-compile refuses: it ends with 1, names what is wrong, and leaves nothing behind."""

import os
import subprocess

import numpy as np
import pytest
from checkpoints import write_weights

from moec.native import find_tool

PROGRAM = """
moe.parameter @w : tensor<2x3x4xf32> from "layers.{0}.weight"
func.func @f(%x: tensor<?x4xf32>) -> tensor<?x3xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %init = tensor.empty(%n) : tensor<?x3xf32>
  %w = moe.load_parameter @w[%c0] : tensor<3x4xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x4xf32>, tensor<3x4xf32>)
         outs(%init : tensor<?x3xf32>) -> tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}
"""

WEIGHTS = {f"layers.{layer}.weight": np.ones((3, 4), np.float32) for layer in range(2)}


@pytest.fixture
def checkpoint(tmp_path):
    return write_weights(tmp_path / "checkpoint", WEIGHTS, "f32")


@pytest.fixture
def output(tmp_path):
    """A package in a folder of its own."""
    folder = tmp_path / "output"
    folder.mkdir()
    return folder / "program.moe"


def compile_program(text, output, *options):
    command = [find_tool("moe-compile"), "-", "-o", output, *options]
    return subprocess.run(command, input=text, capture_output=True, text=True)


def check_refusal(result, output, message):
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("error:") == 1
    assert not list(output.parent.iterdir())


def test_good_program(checkpoint, output):
    """What the others differ from."""
    result = compile_program(PROGRAM, output, f"--checkpoint={checkpoint}")
    assert (result.returncode, result.stderr) == (0, "")
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("return %y", "retrun %y", "<stdin>:10:3: error: custom op 'retrun' is unknown"),
        ("ins(%x, %w :", "ins(%x, %z :", "<stdin>:8:35: error: use of undeclared SSA value name"),
        ("{0}", "{1}", "'moe.parameter' op"),
        ("@w[%c0]", "@v[%c0]", "'moe.load_parameter' op"),
        ("}\n", "", "<stdin>"),
    ],
    ids=["syntax", "value", "pattern", "symbol", "end"],
)
def test_program(checkpoint, output, old, new, message):
    text = PROGRAM.replace(old, new)
    check_refusal(compile_program(text, output, f"--checkpoint={checkpoint}"), output, message)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"layers.1.weight": None}, "expected a tensor 'layers.1.weight', got none"),
        ({"layers.1.weight": (4, 3)}, "layers.1.weight"),
        ({"layers.1.weight": (3, 4, 1)}, "layers.1.weight"),
    ],
    ids=["missing", "shape", "rank"],
)
def test_tensors(tmp_path, output, changes, message):
    shapes = {name: values.shape for name, values in WEIGHTS.items()} | changes
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items() if shape}
    folder = write_weights(tmp_path / "checkpoint", weights, "f32")
    result = compile_program(PROGRAM, output, f"--checkpoint={folder}")
    check_refusal(result, output, message)
    assert str(folder) in result.stderr


def test_type_of_tensors(tmp_path, output):
    folder = write_weights(tmp_path / "checkpoint", WEIGHTS, "bf16")
    result = compile_program(PROGRAM, output, f"--checkpoint={folder}")
    check_refusal(result, output, "layers.0.weight")
    assert "f32" in result.stderr.lower() and "bf16" in result.stderr.lower()


@pytest.mark.parametrize("length", [0, 4, 8, 40, -1, -60])
def test_truncated_file(checkpoint, output, length):
    """In the length of the header, the header or the data."""
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    check_refusal(compile_program(PROGRAM, output, f"--checkpoint={checkpoint}"), output, f"{file}: ")


def test_no_output(checkpoint):
    result = subprocess.run([find_tool("moe-compile"), "-"], input=PROGRAM, capture_output=True, text=True)
    message = "moe-compile: error: expected -o and what to write, --explain or --tune\n"
    assert (result.returncode, result.stderr) == (1, message)


def test_explanation():
    """It needs no weights, and names levels, the function and the product."""
    command = [find_tool("moe-compile"), "-", "--explain"]
    result = subprocess.run(command, input=PROGRAM, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert [line.split(",")[0] for line in lines if ", threads " in line] == ["v3", "v4"]
    assert lines[1:5:2] == ["", "  tokens         MB     MFLOP       bound        us  kernel"]
    assert lines[2] == "f x2"
    assert lines[4] == "  grouped_matmul @w.packed"
    assert "fma 6x32 f32*f32" in lines[7]


def test_no_checkpoint(tmp_path, output):
    check_refusal(compile_program(PROGRAM, output), output, "expected --checkpoint or --shapes-only")
    folder = tmp_path / "nowhere"
    result = compile_program(PROGRAM, output, f"--checkpoint={folder}")
    check_refusal(result, output, f"{folder}/model.safetensors: No such file or directory")


@pytest.mark.parametrize(
    "option, message",
    [
        ("--format=q5_k", "expected a format of weights, got 'q5_k'"),
        ("--isa=v7", "expected an ISA level v3, v4, vnni, amx, amx_emulated or neon, got v7"),
        ("--pipeline-options=fuse=perhaps", "expected options of the pipeline moe-compile-cpu, got 'fuse=perhaps'"),
        ("--source=nowhere", "'nowhere': No such file or directory"),
    ],
)
def test_options(checkpoint, output, option, message):
    check_refusal(compile_program(PROGRAM, output, f"--checkpoint={checkpoint}", option), output, message)


@pytest.mark.parametrize("option", ["format=bf16", "compute=bf16"])
def test_unfused_packs_nothing(checkpoint, output, option):
    options = (f"--checkpoint={checkpoint}", f"--{option}", "--pipeline-options=fuse=false")
    message = f"expected no format and no compute with fuse=false, which packs no weights, got 'fuse=false {option}'"
    check_refusal(compile_program(PROGRAM, output, *options), output, message)


def test_messages_without_place_in_the_program(tmp_path, output):
    result = compile_program(PROGRAM, output, f"--checkpoint={tmp_path}/nowhere")
    start = f"moe-compile: error: {tmp_path}/nowhere/model.safetensors: "
    assert result.stderr == f"{start}No such file or directory\n"


def test_files_of_other_kinds_stay(checkpoint, tmp_path):
    """What is written to a pipe, or a device, does not take its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open(tmp_path / "copy", "w") as copy:
        reader = subprocess.Popen(["cat", pipe], stdout=copy)
    try:
        result = compile_program(PROGRAM, pipe, f"--checkpoint={checkpoint}", "--emit=mlir")
        assert (result.returncode, result.stderr) == (0, "")
        assert pipe.is_fifo()
        assert reader.wait(timeout=10) == 0
    finally:
        reader.kill()
        reader.wait()
    assert (tmp_path / "copy").read_text().startswith("module")


def test_full_standard_output(checkpoint):
    command = [find_tool("moe-compile"), "-", "-o", "-", f"--checkpoint={checkpoint}", "--emit=mlir"]
    with open("/dev/full", "w") as full:
        result = subprocess.run(command, input=PROGRAM, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr) == (1, "moe-compile: error: '-': No space left on device\n")


def test_output_that_cannot_be_written(tmp_path, output):
    output = output.parent / "none" / "program.moe"
    result = compile_program(PROGRAM, output, "--shapes-only")
    assert (result.returncode, f"{output}': No such file or directory" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    "make", [lambda path: path.write_text("mine"), lambda path: (path / "mine").mkdir(parents=True)]
)
def test_output_that_is_no_package(output, make):
    """Files of the user are not replaced."""
    make(output)
    result = compile_program(PROGRAM, output, "--shapes-only")
    assert result.returncode == 1
    assert f"'{output}': expected a package or nothing to replace" in result.stderr
    assert list(output.parent.iterdir()) == [output]
    assert output.is_file() or [path.name for path in output.iterdir()] == ["mine"]


def test_old_package_survives(checkpoint, output):
    """A compilation that fails leaves the package that it would have replaced."""
    compile_program(PROGRAM, output, f"--checkpoint={checkpoint}")
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    assert compile_program(PROGRAM, output, f"--checkpoint={checkpoint}").returncode == 1
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert list(output.parent.iterdir()) == [output]
