# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes dialect.md and passes.md from the descriptions in the .td files, families.md from the families' pages, and
performance.md with its plots from the results in test/Bench.

`tools/dev format` runs it.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "test/Bench")]

import families  # noqa: E402
import report  # noqa: E402

LLVM = Path("/usr/lib/llvm-" + re.search(r"find_package\(MLIR (\d+)", (ROOT / "CMakeLists.txt").read_text())[1])
NOTE = "<!-- Written by docs/generate.py from the .td files. -->\n"
NOTE_FAMILIES = "<!-- Written by docs/generate.py from the families' pages. -->\n\n"


def generate() -> dict[str, str]:
    """Text of each file."""
    folders = sorted((ROOT / "include/moe").glob("*/Passes.td"))
    passes = [f"## {path.parent.name}\n{describe(path, '-gen-pass-doc')}" for path in folders]
    return {
        "dialect.md": NOTE + describe(ROOT / "include/moe/IR/MoEOps.td", "-gen-dialect-doc", "-dialect=moe"),
        "families.md": NOTE_FAMILIES + families.table(),
        "passes.md": "\n".join([NOTE, "# Passes\n", *passes]),
        **report.pages(),
    }


def describe(path: Path, *options: str) -> str:
    command = [LLVM / "bin/mlir-tblgen", *options, "-I", ROOT / "include", "-I", LLVM / "include", path]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return text.partition("-->\n")[2].replace("[TOC]\n\n", "")


if __name__ == "__main__":
    for name, text in generate().items():
        path = ROOT / "docs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
