# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every tool answers --version and --help."""

import subprocess
import sys

import pytest
from tree import ROOT

import moec

TOOLS = {path.parent.name: [f"build/bin/{path.parent.name}"] for path in ROOT.glob("tools/*/CMakeLists.txt")}
TOOLS |= {"dev": ["tools/dev"], "moec": [sys.executable, "-m", "moec"]}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("flag, expected", [("--version", moec.__version__), ("--help", "usage")])
def test_tool(tool, flag, expected):
    result = subprocess.run([*TOOLS[tool], flag], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0
    assert expected in result.stdout.lower()
