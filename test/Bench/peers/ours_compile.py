# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Starts the compiler of this repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from worker import Refused

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "python"))

from moec.native import find_tool  # noqa: E402

PACKED = ("f16", "int8", "q8_0", "q4_0", "mxfp4")
"""Formats that are asked for by an option, since no checkpoint's element type says them."""


def compile_graph(text: str, checkpoint: Path, format: str, compute: str, package: Path) -> None:
    """Compile MLIR for the levels that suit the arithmetic.

    Raises
    ------
    Refused
        With the compiler's first error.
    """
    command = [find_tool("moe-compile"), "-", f"--checkpoint={checkpoint}", "-o", package, f"--compute={compute}"]
    command += [f"--format={format}"] * (format in PACKED)
    compiled = subprocess.run(command, input=text, capture_output=True, text=True)
    if compiled.returncode:
        raise Refused(next((line for line in compiled.stderr.splitlines() if "error:" in line), compiled.stderr[-300:]))
