# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights pass through the compiler; they are never all in its memory."""

import resource
import subprocess
import tempfile
from pathlib import Path

from tiny import write_safetensors

from moec.native import find_tool

EXPERTS, WIDTH = 64, 1024
WEIGHTS = 4 * EXPERTS * WIDTH * WIDTH  # bytes: 256 MiB
LIMIT = WEIGHTS // 2  # LLVM itself takes less than 100 MiB

PROGRAM = f"""
!rows = tensor<?x{WIDTH}xf32>
!weights = tensor<{EXPERTS}x{WIDTH}x{WIDTH}xf32>
!offsets = tensor<{EXPERTS + 1}xi32>
moe.parameter @w : !weights from "w"
func.func @f(%x: !rows, %offsets: !offsets) -> !rows {{
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : !rows
  %init = tensor.empty(%n) : !rows
  %w = moe.load_parameter @w : !weights
  %y = moe.grouped_matmul ins(%x, %w : !rows, !weights) offsets(%offsets : !offsets) outs(%init : !rows) -> !rows
  return %y : !rows
}}
"""


def limit_memory():
    """Memory of the process's own; mapped files are not counted."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))


def test_weights_larger_than_memory():
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.safetensors")
        tensor = {"dtype": "F32", "shape": [EXPERTS, WIDTH, WIDTH], "data_offsets": [0, WEIGHTS]}
        write_safetensors(file, {"w": tensor}, b"")
        with file.open("r+b") as stream:
            stream.truncate(file.stat().st_size + WEIGHTS)
        command = [find_tool("moe-compile"), "-", f"--checkpoint={folder}", "-o", Path(folder, "w.moe")]
        subprocess.run(command, input=PROGRAM, text=True, check=True, preexec_fn=limit_memory)
        assert Path(folder, "w.moe", "weights.safetensors").stat().st_size >= WEIGHTS
