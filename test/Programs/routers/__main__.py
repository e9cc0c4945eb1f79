# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes the MLIR of each program into a folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from routers import ROUTERS, Sizes, build  # noqa: E402

for name in ROUTERS:
    Path(sys.argv[1], f"{name}.mlir").write_text(str(build([name], Sizes())[0]))
