# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles programs and checkpoints to packages, with the compiler as a process."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from moec.errors import Error
from moec.hf import import_checkpoint
from moec.native import find_tool
from moec.ops import Program

# Files that decide what is compiled; the package carries their hashes.
_SOURCES = ("config.json", "generation_config.json")


def compile(program: Program, package: str | os.PathLike[str]) -> None:
    """Compile a program.

    Parameters
    ----------
    program : moec.ops.Program
    package : path
        Folder to write.

    Raises
    ------
    Error
        If the compiler refuses it.
    """
    with tempfile.TemporaryDirectory() as checkpoint:
        program.save_weights(checkpoint)
        _run([find_tool("moe-compile"), "-", f"--checkpoint={checkpoint}", "-o", package], str(program))


def compile_checkpoint(
    checkpoint: str | os.PathLike[str],
    package: str | os.PathLike[str],
    block: str | None = None,
    shapes_only: bool = False,
) -> None:
    """Compile a Hugging Face checkpoint.

    Parameters
    ----------
    checkpoint : path
        Folder with config.json and the weights in safetensors files.
    package : path
        Folder to write.
    block : str or None
        Name of a module with experts, e.g. ``model.layers.0.mlp``, to compile that module alone.
    shapes_only : bool
        Compile from config.json alone, to a package without weights.

    Raises
    ------
    Error
        If the checkpoint is not supported, or the compiler refuses it.
    """
    checkpoint, package = Path(checkpoint), Path(package)
    text = import_checkpoint(checkpoint, block, shapes_only)
    sources = [file for name in _SOURCES if (file := checkpoint / name).exists()]
    copies = [file] if (file := checkpoint / "tokenizer.json").exists() else []
    options = [f"--source={file}" for file in sources] + [f"--copy={file}" for file in copies]
    options += ["--shapes-only"] * shapes_only
    _run([find_tool("moe-compile"), "-", f"--checkpoint={checkpoint}", "-o", package, *options], text)


def _run(command: list[str | Path], text: str) -> None:
    """Run the compiler on a text; its first error becomes ours."""
    result = subprocess.run(command, input=text, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
    if result.returncode == 0:
        return
    lines = result.stderr.splitlines() or [f"ended with status {result.returncode}"]
    error = next((line for line in lines if "error:" in line), lines[-1])
    raise Error(f"moe-compile: {error.removeprefix('moe-compile: ')}")
