# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What holds for every source file."""

import re
import subprocess
import sys

from tree import ROOT, files, llvm, read

import moec

CODE = (".c", ".cpp", ".h", ".py", ".td", "tools/dev", ".ci/run")


def test_license():
    for path in files(*CODE):
        head = "\n".join(read(path).splitlines()[:5])
        assert "SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception" in head, f"{path}: expected a license"


def test_length():
    for path in files(*CODE, ".mlir", "CMakeLists.txt"):
        lines = len(read(path).splitlines())
        assert lines <= 600, f"{path}: expected at most 600 lines, got {lines}"


def test_toolchain_is_pinned_once():
    """Only the root's CMakeLists.txt says which LLVM."""
    version = llvm().name.removeprefix("llvm-")
    for path in files(*CODE, ".in", "CMakeLists.txt"):
        found = re.findall(rf"\b\w+-{version}\b|\b{version}\.\d+\b", read(path))
        assert not found, f"{path}: expected no version of LLVM, got {found}"


def test_version():
    assert f"VERSION {moec.__version__} " in read("CMakeLists.txt")


def test_clang_format():
    sources = files(".c", ".cpp", ".h")
    run([llvm() / "bin/clang-format", "--dry-run", "-Werror", *sources])


def test_ruff():
    run([sys.executable, "-m", "ruff", "format", "--check"])
    run([sys.executable, "-m", "ruff", "check"])


def run(command):
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
