# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The shipped model, compiled, is as good as under transformers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import moec

_ROOT = Path(__file__).parents[3]
_MODEL = _ROOT / "models" / "bible"


@pytest.fixture(scope="module")
def recorded():
    """The perplexity that the model's page states."""
    found = re.search(r"perplexity (\d\.\d{4}) per byte", (_MODEL / "README.md").read_text())
    if found is None:
        pytest.skip("README.md records no perplexity yet")
    return float(found[1])


def perplexity(package):
    environment = os.environ | {"PYTHONPATH": str(_ROOT / "python")}
    command = [sys.executable, _MODEL / "perplexity.py", package]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return float(re.fullmatch(r"perplexity (.*) per byte\n", printed)[1])


def test_perplexity(bible_package, recorded):
    # Both are rounded to 4 digits; sums in another order change the seventh.
    assert abs(perplexity(bible_package) - recorded) <= 1.01e-4


@pytest.mark.parametrize(
    "format, compute, loss", [("q8_0", "int8", 0.0005), ("q4_0", "int8", 0.01), ("mxfp4", "bf16", 0.015)]
)
def test_perplexity_of_formats(format, compute, loss, recorded, tmp_path):
    """What each format costs. Losses of 0.02, 0.61 and 0.92 % are seen."""
    moec.compile_checkpoint(_MODEL / "checkpoint", tmp_path / "package", format=format, compute=compute)
    assert abs(perplexity(tmp_path / "package") / recorded - 1) <= loss
