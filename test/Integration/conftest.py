# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is compiled once in a session."""

import functools

import levels
import pytest
from programs import Program, compile_program

import moec
from moec.native import find_tool


def pytest_collection_modifyitems(items):
    try:
        find_tool("moe-compile")
    except moec.Error as error:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=str(error)))


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """Compiles a program, once for each variant."""

    @functools.lru_cache(maxsize=None)
    def build(name, dtype, fuse):
        return compile_program(name, dtype, fuse, tmp_path_factory.mktemp(name))

    return build


@pytest.fixture(scope="session", params=["v3", "v4"])
def isa(request):
    """A level that this CPU has."""
    return levels.require(request.param)


@pytest.fixture(params=[False, True], ids=["unfused", "fused"])
def program(request, packages, isa):
    """Loads a program by name and dtype of its weights."""
    return lambda name, dtype="f32": Program(packages(name, dtype, request.param), isa)


@pytest.fixture(params=["f32", "bf16"])
def dtype(request):
    """Of weights."""
    return request.param
