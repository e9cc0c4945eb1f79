# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The shipped model, compiled, is as good as under transformers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_MODEL = _ROOT / "models" / "bible"


def test_perplexity(bible_package):
    recorded = re.search(r"perplexity (\d\.\d{4}) per byte", (_MODEL / "README.md").read_text())
    if recorded is None:
        pytest.skip("README.md records no perplexity yet")
    environment = os.environ | {"PYTHONPATH": str(_ROOT / "python")}
    command = [sys.executable, _MODEL / "perplexity.py", bible_package]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    measured = float(re.fullmatch(r"perplexity (.*) per byte\n", printed)[1])
    # Both are rounded to 4 digits; sums in another order change the seventh.
    assert abs(measured - float(recorded[1])) <= 1.01e-4
