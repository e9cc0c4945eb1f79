# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is compiled once in a session."""

import functools
from pathlib import Path

import pytest
from programs import Program, compile_program

import moec
from moec.native import find_tool

_CPU = set(Path("/proc/cpuinfo").read_text().split())
_LEVELS = {"v3": {"avx2", "bmi2", "f16c", "fma"}, "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}}


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


@pytest.fixture(scope="session", params=_LEVELS)
def isa(request):
    """A level that this CPU has."""
    missing = _LEVELS[request.param] - _CPU
    if missing:
        pytest.skip(f"this CPU lacks {', '.join(sorted(missing))}")
    return request.param


@pytest.fixture(params=[False, True], ids=["unfused", "fused"])
def program(request, packages, isa):
    """Loads a program by name and dtype of its weights."""
    return lambda name, dtype="f32": Program(packages(name, dtype, request.param), isa)


@pytest.fixture(params=["f32", "bf16"])
def dtype(request):
    """Of weights."""
    return request.param
