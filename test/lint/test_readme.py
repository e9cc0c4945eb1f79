# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the README mentions exists."""

import re
import subprocess

import numpy as np
from tree import ROOT, read

README = read("README.md")


def test_links():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert "://" in target or (ROOT / target).exists(), f"expected {target}"


def test_verbs():
    verbs = set(re.findall(r"^verb_(\w+)\(\)", read("tools/dev"), re.MULTILINE))
    mentioned = set(re.findall(r"tools/dev ([a-z]+)", README))
    assert mentioned <= verbs, f"expected verbs of tools/dev, got {sorted(mentioned - verbs)}"


def test_transcripts():
    """A line that starts with a prompt runs a tool that is in the tree, built, or installed in .venv."""
    tools = {path.parent.name for path in ROOT.glob("tools/*/CMakeLists.txt")}
    for command in re.findall(r"^\$ (?:\w+=\S+ )*(\S+)", README, re.MULTILINE):
        known = (ROOT / command).exists() or command in {f"build/bin/{tool}" for tool in tools} | {"git", "cd"}
        assert known, f"expected a tool, got {command}"


def test_paths():
    """Paths in backticks exist, whether they are written from the root or as includes are."""
    for path in re.findall(r"`((?:include|lib|test|tools|python|docs|examples|models)/[\w./-]*)`", README):
        assert (ROOT / path).exists(), f"expected {path}"


def test_commands():
    """Executables in backticks are tools."""
    tools = {path.parent.name for path in ROOT.glob("tools/*/CMakeLists.txt")}
    for tool in re.findall(r"build/bin/([\w-]+)", README):
        assert tool in tools, f"expected a tool, got build/bin/{tool}"


def block(language, word):
    """The one block of code in a language that has a word."""
    (found,) = [text for text in re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S) if word in text]
    return found


def test_graph_compiles():
    command = [ROOT / "build/bin/moe-opt", "--moe-compile-cpu"]
    result = subprocess.run(command, input=block("mlir", "@route"), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_program_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").mkdir()
    names = {}
    exec(block("python", "ops.Program"), names)
    y = names["y"]
    assert y.shape == (5, 64) and np.isfinite(y).all() and y.any()
