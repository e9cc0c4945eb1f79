# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Packages of whole models."""

from pathlib import Path

import pytest
from checkpoints import write_checkpoint
from tiny import CONFIGS

import moec

_BIBLE = Path(__file__).parents[3] / "models" / "bible" / "checkpoint"


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), CONFIGS["olmoe"], "bf16")


@pytest.fixture(scope="session")
def tiny_package(tiny_checkpoint, tmp_path_factory):
    package = tmp_path_factory.mktemp("tiny") / "tiny.moe"
    moec.compile_checkpoint(tiny_checkpoint, package)
    return package


@pytest.fixture(scope="session")
def bible_package(tmp_path_factory):
    if not _BIBLE.exists():
        pytest.skip(f"{_BIBLE} is not there")
    package = tmp_path_factory.mktemp("bible") / "bible.moe"
    moec.compile_checkpoint(_BIBLE, package)
    return package


@pytest.fixture(params=["tiny", "bible"])
def model_package(request):
    return request.getfixturevalue(f"{request.param}_package")
