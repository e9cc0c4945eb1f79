# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A folder uses itself and the folders that its layer stands on, in includes and in CMake."""

import re
from pathlib import Path

from tree import files, read

RUNTIME = {"Runtime", "moe-runtime"}
PASSES = {path.parent.name for path in files("Passes.td")}
IR = {"Support", "IR"}
LOW = IR | {"Analysis", "Params"}
USES = {
    **dict.fromkeys(RUNTIME, RUNTIME),
    **dict.fromkeys(IR, IR),
    "Analysis": IR,
    "Params": IR | RUNTIME,
    **dict.fromkeys(PASSES, LOW),
    "Pipelines": LOW | PASSES,
    "Export": LOW | PASSES | RUNTIME | {"Pipelines"},
}


def folder(path: Path) -> str:
    """Folder of a source: `IR` for lib/IR/... and include/moe/IR/..."""
    return path.parts[2] if path.parts[1] == "moe" else path.parts[1]


def check(path: Path, used: str) -> None:
    user = folder(path)
    assert used == user or used in USES[user], f"{path}: {user} may not use {used}"


def test_includes():
    for path in files(".cpp", ".h", under=("include/moe", "include/moe-runtime", "lib")):
        if path.name != "InitAll.h":
            for prefix, name in re.findall(r'#include "(?:moe/)?((\w+|moe-runtime)/)', read(path)):
                if name in USES:
                    check(path, name)


def test_link_libraries():
    for path in files("CMakeLists.txt", under=("lib",)):
        for library in re.findall(r"\bMoE(\w+)", " ".join(re.findall(r"LINK_LIBS ([^)]*)", read(path)))):
            check(path, "Runtime" if library == "RuntimeSupport" else library)


def test_reference_stands_alone():
    for path in files(".py", under=("python/moec/reference",)):
        for module in re.findall(r"^\s*(?:from|import) (moec\S*)", read(path), re.MULTILINE):
            assert module.startswith("moec.reference"), f"{path}: expected no import of {module}"
