# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What an oracle is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Oracle:
    """Computes a program's results from x, its weights and further arguments.

    Attributes
    ----------
    name : str
        As the table of routers names it.
    """

    name: str
    compute: Callable
