# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What each operation of the dialect computes, in NumPy: one function for each, named as the operation.

Sums are taken in f64 and rounded to f32 once, so that a compiled program may differ from these by its own rounding
only. Nothing here imports the rest of moec.
"""

from moec.reference.attention import attention, cache_update
from moec.reference.derivation import fp8, mxfp4, view
from moec.reference.packing import pack, round_rows, unpack
from moec.reference.routing import (
    assign,
    capacity_of,
    combine,
    dispatch,
    limit,
    route,
    score,
    select,
    weigh,
)
from moec.reference.rows import (
    expert_ffn,
    experts,
    glu,
    group_add,
    grouped_matmul,
    soft_combine,
    soft_dispatch,
)
from moec.reference.training import aux_loss, bias_update, noise, philox

__all__ = [
    "assign",
    "attention",
    "aux_loss",
    "bias_update",
    "cache_update",
    "capacity_of",
    "combine",
    "dispatch",
    "expert_ffn",
    "experts",
    "fp8",
    "glu",
    "group_add",
    "grouped_matmul",
    "limit",
    "noise",
    "mxfp4",
    "pack",
    "philox",
    "round_rows",
    "route",
    "score",
    "select",
    "soft_combine",
    "soft_dispatch",
    "unpack",
    "view",
    "weigh",
]
