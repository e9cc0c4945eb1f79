# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finds the compiler and the runtime library: in the folder that MOE_BIN names, in this repository's build, or where
the system looks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from moec.errors import Error

_BUILD = Path(__file__).resolve().parents[2] / "build" / "bin"


def find_tool(name: str) -> Path:
    """Path of an executable.

    Raises
    ------
    Error
        If it is nowhere.
    """
    for folder in _folders():
        if (folder / name).exists():
            return folder / name
    found = shutil.which(name)
    if found is None:
        raise Error(f"{name}: not found in MOE_BIN, {_BUILD} or PATH")
    return Path(found)


def find_library(name: str) -> str:
    """Path of a shared library beside the tools, or its bare name for the system to find."""
    for folder in _folders():
        path = folder.parent / "lib" / name
        if path.exists():
            return str(path)
    return name


def _folders() -> list[Path]:
    chosen = os.environ.get("MOE_BIN")
    return [Path(chosen)] if chosen else [_BUILD]
