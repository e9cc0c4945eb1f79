# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What docs/generate.py writes is what the .td files say now."""

import runpy

from tree import ROOT


def test_fresh():
    for name, text in runpy.run_path(str(ROOT / "docs/generate.py"))["generate"]().items():
        assert (ROOT / "docs" / name).read_text() == text, f"expected a fresh docs/{name}: run tools/dev format"
