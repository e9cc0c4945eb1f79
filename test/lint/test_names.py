# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One name everywhere: a pass is its option, class, file, DEBUG_TYPE and test; an operation is its class, its NumPy
reference and the prefix of its constraints' labels."""

import re

import pytest
from tree import ROOT, definitions, files, operations, passes, read

import moec.ops
import moec.reference

# Declarations and terminators compute nothing, and panel_matmul is the tile of a grouped_matmul.
WITHOUT_REFERENCE = {"parameter", "load_parameter", "num_threads", "panel_matmul", "yield"}
# The builder writes graphs, where composites and caches have no place.
WITHOUT_BUILDER = WITHOUT_REFERENCE | {"route", "attention", "cache_update"}


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in re.split("[-_]", name))


@pytest.mark.parametrize("name", passes())
def test_pass(name):
    cls, folder = passes()[name]
    assert cls == camel(name) + "Pass"
    assert name.startswith(folder.lower() + "-"), f"expected a pass of {folder} to start with its name"
    source = f"lib/{folder}/{camel(name)}.cpp"
    assert (ROOT / source).exists(), f"expected {source}"
    assert f'#define DEBUG_TYPE "moe-{name}"\n' in read(source), f"expected DEBUG_TYPE moe-{name} in {source}"
    test = f"test/{folder}/{name}.mlir"
    assert (ROOT / test).exists(), f"expected {test}"


@pytest.mark.parametrize("mnemonic", operations())
def test_operation(mnemonic):
    assert operations()[mnemonic] == camel(mnemonic) + "Op"
    has_reference = mnemonic in moec.reference.__all__
    assert has_reference == (mnemonic not in WITHOUT_REFERENCE), f"expected moec.reference.{mnemonic}"
    has_builder = mnemonic in moec.ops.__all__
    assert has_builder == (mnemonic not in WITHOUT_BUILDER), f"expected moec.ops.{mnemonic}"


@pytest.mark.parametrize("mnemonic", operations())
def test_labels(mnemonic):
    def numbers(pattern, paths):
        label = pattern.format(rf"{mnemonic}_c(\d+)")
        return {int(n) for path in paths for n in re.findall(label, read(path))}

    described = numbers("`{}`", definitions())
    assert described == set(range(1, len(described) + 1)), "expected labels without gaps at the definition"
    assert numbers("// {}", ROOT.glob("lib/IR/*.cpp")) == described, "expected the definition's labels at the verifier"
    assert numbers(r"@{}\b", ROOT.glob("test/IR/invalid*.mlir")) == described, "expected one case a label in test/IR"


def test_flags_exist():
    """Every `--moe-...` that is written anywhere is a pass or a pipeline."""
    pipelines = re.findall(r'PassPipelineRegistration<.*?"moe-([a-z0-9-]+)"', read("lib/Pipelines/Pipelines.cpp"), re.S)
    known = {*passes(), *pipelines}
    for path in files(".cpp", ".h", ".md", ".mlir", ".py", ".td"):
        for name in re.findall(r"--moe-([a-z][a-z0-9-]*[a-z0-9])", read(path)):
            assert name in known, f"{path}: expected a pass, got --moe-{name}"
