# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import CONFIGS, shapes, write_config, write_tensors

import moec
from moec.cli import main

MANIFEST = {
    "format": 1,
    "compiler": {"name": "moe-mlir", "version": "0.1.0"},
    "compute": "f32",
    "module": {"file": "module.so", "bytes": 2048, "hash": "xxh3:0"},
    "weights": {"file": "weights.safetensors", "bytes": 3 * 2**30, "header_hash": "xxh3:0"},
    "target": {"triple": "x86_64-unknown-linux-gnu", "levels": [{"isa": "v3", "features": ["avx2", "fma"]}]},
    "sources": [],
    "model": {"architecture": "olmoe", "eos": [2]},
    "functions": [{"name": "block", "arguments": [{"name": "x", "kind": "input", "dtype": "f32", "shape": ["T", 36]}]}],
    "parameters": [
        {"name": "up", "dtype": "bf16", "shape": [7, 23, 36]},
        {"name": "up.packed", "dtype": "bf16", "shape": [7, 1, 2, 2, 16, 16, 2], "format": "bf16"},
        {"name": "w", "dtype": "i8", "shape": [1, 576], "format": "q4_0", "error": {"largest": 0.0912, "rms": 0.0861}},
    ],
}


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"moec {moec.__version__}\n"


@pytest.mark.parametrize("command", [[], ["compile"], ["import"], ["inspect"], ["generate"]])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("usage: moec")


def test_import(tmp_path):
    folder = write_config(tmp_path / "model", CONFIGS["mixtral"])
    write_tensors(folder / "model.safetensors", shapes(folder))
    output = tmp_path / "model.mlir"
    assert main(["import", str(folder), "-o", str(output)]) == 0
    assert output.read_text() == moec.import_checkpoint(folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "nowhere", "-o", "out.mlir"],
        ["compile", "nowhere", "-o", "out.moe"],
        ["inspect", "nowhere"],
        ["generate", "nowhere", "--prompt", "a"],
    ],
)
def test_error_is_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("moec: nowhere") and err.count("\n") == 1


def test_compiler_is_missing(tmp_path, monkeypatch, capsys):
    folder = write_config(tmp_path / "model", CONFIGS["mixtral"] | {"dtype": "float32"})
    monkeypatch.setenv("MOE_BIN", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["compile", str(folder), "-o", str(tmp_path / "out.moe"), "--shapes-only"]) == 1
    assert capsys.readouterr().err.startswith("moec: moe-compile: not found")


def test_compiler_fails(tmp_path, monkeypatch, capsys):
    """The first error of many lines is handed on."""
    folder = write_config(tmp_path / "model", CONFIGS["mixtral"] | {"dtype": "float32"})
    tool = tmp_path / "moe-compile"
    lines = ["note", "moe-compile: error: expected x, got y", "more"]
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{line}' >&2\n" for line in lines) + "exit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("MOE_BIN", str(tmp_path))
    assert main(["compile", str(folder), "-o", str(tmp_path / "out.moe"), "--shapes-only"]) == 1
    assert capsys.readouterr().err == "moec: moe-compile: error: expected x, got y\n"


def test_inspect(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert main(["inspect", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        [f"{tmp_path}:", "moe-mlir", "0.1.0,", "compute", "f32"],
        ["model"],
        ["architecture", '"olmoe"'],
        ["eos", "[2]"],
        ["target", "x86_64-unknown-linux-gnu"],
        ["v3", "avx2", "fma"],
        ["files"],
        ["module.so", "2.0", "KiB"],
        ["weights.safetensors", "3.0", "GiB"],
        ["functions"],
        ["block"],
        ["input", "x", "f32[T,", "36]"],
        ["parameters"],
        ["up", "11.3", "KiB", "bf16[7,", "23,", "36]"],
        ["up.packed", "28.0", "KiB", *"bf16[7, 1, 2, 2, 16, 16, 2]".split(), "bf16"],
        ["w", "576", "B", *"i8[1, 576] q4_0, root mean square error 8.6%, largest 9.1%".split()],
    ]


def inspect(folder, stdout):
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    command = [sys.executable, "-m", "moec", "inspect", folder]
    python = Path(moec.__file__).parents[1]
    return subprocess.Popen(command, cwd=python, stdout=stdout, stderr=subprocess.PIPE, text=True)


def test_reader_that_wants_no_more(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with inspect(tmp_path, writer) as process:
        os.close(writer)
        assert process.communicate()[1] == ""
    assert process.returncode == 1


def test_full_standard_output(tmp_path):
    with open("/dev/full", "w") as full, inspect(tmp_path, full) as process:
        assert process.communicate()[1] == "moec: standard output: No space left on device\n"
    assert process.returncode == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}'])
def test_inspect_of_something_else(tmp_path, text, capsys):
    (tmp_path / "manifest.json").write_text(text)
    assert main(["inspect", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"moec: {tmp_path / 'manifest.json'}: expected")
