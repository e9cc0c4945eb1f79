# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What docs/generate.py writes is what the .td files say now, and their examples are tested."""

import re
import runpy

import pytest
from tree import ROOT, definitions, read


def test_fresh():
    for name, text in runpy.run_path(str(ROOT / "docs/generate.py"))["generate"]().items():
        assert (ROOT / "docs" / name).read_text() == text, f"expected a fresh docs/{name}: run tools/dev format"


def lines(text: str) -> str:
    """Without indentation."""
    return "\n".join(line.strip() for line in text.splitlines())


@pytest.mark.parametrize("path", definitions(), ids=lambda path: path.stem)
def test_examples(path):
    tested = lines(read("test/IR/examples.mlir"))
    for example in re.findall(r"```mlir\n(.*?)\n *```", read(path), re.DOTALL):
        assert lines(example) in tested, f"expected in test/IR/examples.mlir:\n{example}"
