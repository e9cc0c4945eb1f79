# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights pass through the compiler; they are never all in its memory."""

import resource
import subprocess
import tempfile
from pathlib import Path

import pytest
from tiny import write_safetensors

from moec.native import find_tool

EXPERTS, WIDTH = 64, 1024
WEIGHTS = 4 * EXPERTS * WIDTH * WIDTH  # bytes: 256 MiB
LIMIT = WEIGHTS // 2  # LLVM itself takes less than 100 MiB

STACK = 'moe.parameter @w : !weights from "w"'
TRANSPOSED = """
moe.parameter @fused : !weights from "w"
moe.parameter @w : !weights view of @fused by affine_map<(e, i, h) -> (e, h, i)>
"""

PROGRAM = f"""
!rows = tensor<?x{WIDTH}xf32>
!weights = tensor<{EXPERTS}x{WIDTH}x{WIDTH}xf32>
!offsets = tensor<{EXPERTS + 1}xi32>
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


@pytest.mark.parametrize("parameters", [STACK, TRANSPOSED], ids=["stack", "transposed"])
@pytest.mark.parametrize("fuse", ["false", "true"])
def test_weights_larger_than_memory(parameters, fuse):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.safetensors")
        tensor = {"dtype": "F32", "shape": [EXPERTS, WIDTH, WIDTH], "data_offsets": [0, WEIGHTS]}
        write_safetensors(file, {"w": tensor}, b"")
        with file.open("r+b") as stream:
            stream.truncate(file.stat().st_size + WEIGHTS)
        options = [f"--checkpoint={folder}", f"--pipeline-options=fuse={fuse}"]
        command = [find_tool("moe-compile"), "-", *options, "-o", Path(folder, "w.moe")]
        subprocess.run(command, input=PROGRAM + parameters, text=True, check=True, preexec_fn=limit_memory)
        assert Path(folder, "w.moe", "weights.safetensors").stat().st_size >= WEIGHTS
