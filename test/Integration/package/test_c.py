# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""C programs that call packages."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from moec.native import find_library, find_tool

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[2]

PROMPT = [3, 14, 15, 92, 65, 35]


@pytest.fixture(scope="session", params=["cc", "clang"])
def compiler(request):
    """The system's compiler, where it has one, and the compiler of the build."""
    if request.param == "clang":
        return re.search(r"^CMAKE_C_COMPILER:\w+=(.*)", (_ROOT / "build/CMakeCache.txt").read_text(), re.MULTILINE)[1]
    path = shutil.which(request.param)
    if path is None:
        pytest.skip(f"{request.param} is not installed")
    return path


@pytest.fixture(scope="session")
def c_program(compiler, tmp_path_factory):
    """Compiles a source file to an executable."""

    def build(source):
        executable = tmp_path_factory.mktemp("c") / source.stem
        library = Path(find_library("libmoe-runtime.so"))
        options = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{_ROOT / 'include'}", "-o", executable]
        link = [f"-L{library.parent}", f"-Wl,-rpath,{library.parent}", "-lmoe-runtime"]
        subprocess.run([compiler, source, *options, *link], check=True)
        return executable

    return build


def run(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def test_example(c_program, model_package):
    """The example prints the ids that moe-run prints."""
    ids = run(c_program(_ROOT / "examples" / "c" / "generate.c"), model_package, *PROMPT).split()
    options = [f"--prompt-ids={','.join(map(str, PROMPT))}", "--max-new-tokens=32"]
    assert len(ids) > 1
    assert ids == run(find_tool("moe-run"), model_package, *options).split()


def test_concurrent_calls(c_program, model_package):
    """Threads that share a model, each with a state of its own, compute the bits that one alone computes."""
    assert run(c_program(_HERE / "concurrent.c"), model_package) == "equal\n"


def test_calls_allocate_nothing(c_program, model_package):
    opening, later = run(c_program(_HERE / "allocations.c"), model_package).split()
    assert int(opening) > 0
    assert int(later) == 0
