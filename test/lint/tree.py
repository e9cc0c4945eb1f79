# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The repository as lints see it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [".ci", "docs", "examples", "include", "lib", "models", "python", "test", "tools"]


def read(path: str | Path) -> str:
    """Text of a file of the repository."""
    return (ROOT / path).read_text("utf-8")


def files(*suffixes: str, under: tuple[str, ...] = tuple(FOLDERS)) -> list[Path]:
    """Files with these endings, relative to the root."""
    found = (path for folder in under for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(path.relative_to(ROOT) for path in found if path.name.endswith(suffixes))


def passes() -> dict[str, tuple[str, str]]:
    """Class and folder of each pass, by its name without `moe-`."""
    return {
        name: (cls, path.parent.name)
        for path in files("Passes.td")
        for cls, name in re.findall(r'^def (\w+) *:\s*\w+<"moe-([a-z0-9-]+)"', read(path), re.MULTILINE)
    }


def operations() -> dict[str, str]:
    """Class of each operation, by its mnemonic."""
    text = "".join(map(read, definitions()))
    found = re.findall(r'^def MoE_(\w+Op) *: *\w+<"(\w+)"', text, re.MULTILINE)
    return {mnemonic: cls for cls, mnemonic in found}


def definitions() -> list[Path]:
    """Files that define operations."""
    return files("Ops.td", under=("include/moe/IR",))


def llvm() -> Path:
    """Folder of the LLVM that CMakeLists.txt asks for."""
    return Path("/usr/lib/llvm-" + re.search(r"find_package\(MLIR (\d+)", read("CMakeLists.txt"))[1])
