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


def compile(
    program: Program,
    package: str | os.PathLike[str],
    format: str | None = None,
    compute: str | None = None,
    isa: str | None = None,
    target: str | os.PathLike[str] | None = None,
) -> None:
    """Compile a program.

    Parameters
    ----------
    program : moec.ops.Program
    package : path
        Folder to write.
    format : str or None
        How weights of products are stored: ``"f32"``, ``"bf16"``, ``"f16"``, ``"int8"``, ``"q8_0"``, ``"q4_0"`` or
        ``"mxfp4"``, as `moe.parameter` describes them. None keeps their own dtype, as routers always do.
    compute : str or None
        What products round their rows to, as `moe.grouped_matmul` describes it: ``"f32"``, the default; ``"bf16"`` for
        weights in bf16, int8, q8_0, q4_0 and mxfp4; ``"int8"`` for the last four. Other products keep f32.
    isa : str or None
        ISA levels to compile for, as ``"v3,v4"``, or ``"neon"``, which is AArch64's. None chooses levels of x86-64 that
        `compute` gains from.
    target : path or None
        File of ``moe-compile --tune`` that says how to cut the work; no result depends on it.

    Raises
    ------
    Error
        If the compiler refuses it.
    """
    with tempfile.TemporaryDirectory() as checkpoint:
        program.save_weights(checkpoint)
        options = [f"--checkpoint={checkpoint}", "-o", package, *_options(format, compute, isa, target)]
        _run([find_tool("moe-compile"), "-", *options], str(program))


def compile_checkpoint(
    checkpoint: str | os.PathLike[str],
    package: str | os.PathLike[str],
    block: str | None = None,
    shapes_only: bool = False,
    format: str | None = None,
    compute: str | None = None,
    isa: str | None = None,
    target: str | os.PathLike[str] | None = None,
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
    format, compute, isa : str or None
        How weights of products are stored and what rows are rounded to, and what CPUs the package is
        for, as in `compile`.
    target : path or None
        As in `compile`.

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
    options += _options(format, compute, isa, target)
    _run([find_tool("moe-compile"), "-", f"--checkpoint={checkpoint}", "-o", package, *options], text)


def _options(
    format: str | None, compute: str | None, isa: str | None, target: str | os.PathLike[str] | None
) -> list[str]:
    options = {"format": format, "compute": compute, "isa": isa, "target": target}
    return [f"--{name}={value}" for name, value in options.items() if value is not None]


def _run(command: list[str | Path], text: str) -> None:
    """Run the compiler on a text; its first error becomes ours."""
    result = subprocess.run(command, input=text, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
    if result.returncode == 0:
        return
    lines = result.stderr.splitlines() or [f"ended with status {result.returncode}"]
    error = next((line for line in lines if "error:" in line), lines[-1])
    raise Error(f"moe-compile: {error.removeprefix('moe-compile: ')}")
