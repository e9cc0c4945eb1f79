# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the routers of test/Programs/routers compute, in float64: by the class that transformers has for them, or by
the published formula, written here without the dialect's notions."""

from oracles import classes, formulas
from oracles.oracle import Oracle

ORACLES: dict[str, Oracle] = classes.ORACLES | formulas.ORACLES
