# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights in memory of the process, or mapped."""

import pytest

import moec


def test_modes_agree(model_package):
    """The same bits: copies are copies."""
    texts = [moec.load(model_package, weights=mode).generate([1, 2, 3], 8) for mode in ("copy", "map")]
    assert texts[0] == texts[1]


def test_unknown_mode(tiny_package):
    with pytest.raises(moec.Error, match="^weights: expected copy or map, got huge$"):
        moec.load(tiny_package, weights="huge")
