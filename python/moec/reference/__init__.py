# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What each operation of the dialect computes, in NumPy: one function for each, named as the operation.

Sums are taken in f64 and rounded to f32 once, so that a compiled program may differ from these by its own rounding
only. Nothing here imports the rest of moec.
"""

from moec.reference.attention import attention, cache_update
from moec.reference.derivation import mxfp4, view
from moec.reference.experts import expert_ffn, glu, grouped_matmul
from moec.reference.packing import pack
from moec.reference.routing import assign, combine, dispatch, route, score, select, weigh

__all__ = [
    "assign",
    "attention",
    "cache_update",
    "combine",
    "dispatch",
    "expert_ffn",
    "glu",
    "grouped_matmul",
    "mxfp4",
    "pack",
    "route",
    "score",
    "select",
    "view",
    "weigh",
]
