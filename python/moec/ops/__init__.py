# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Builds programs without a checkpoint: a router of one's own in a dozen lines of what reads like NumPy.

>>> from moec import ops
>>> program = ops.Program()
>>> router = program.weight("router", numpy.random.randn(8, 64))
>>> @program.function(x=ops.f32("T", 64))
... def route(x):
...     scores = ops.score(ops.linear(x, router), "sigmoid")
...     experts = ops.select(scores, 2)
...     return experts, ops.weigh(scores, experts, norm="sum")
>>> moec.compile(program, "route.moe")
>>> experts, weights = moec.load("route.moe").route(x)

There is one function for each operation of the dialect, named as the operation, and beside them arithmetic with NumPy's
names and rules of broadcasting. Operands that do not go together are an `moec.Error` where they meet.
"""

from moec.ops.arithmetic import (
    abs,
    astype,
    erf,
    exp,
    full,
    gelu,
    log,
    matmul,
    max,
    maximum,
    min,
    minimum,
    relu,
    sigmoid,
    silu,
    softplus,
    sqrt,
    sum,
    tanh,
    where,
)
from moec.ops.program import Program, Weight, bf16, f32, i32
from moec.ops.routing import (
    Capacity,
    Groups,
    assign,
    combine,
    dispatch,
    limit,
    score,
    select,
    weigh,
)
from moec.ops.rows import expert_ffn, experts, glu, group_add, grouped_matmul, linear, soft_combine, soft_dispatch
from moec.ops.shapes import arange, broadcast_to, concatenate, constant, reshape, take, transpose
from moec.ops.tensor import Index, Tensor
from moec.ops.training import aux_loss, bias_update, noise

__all__ = [
    "Capacity",
    "Groups",
    "Index",
    "Program",
    "Tensor",
    "Weight",
    "abs",
    "arange",
    "assign",
    "astype",
    "aux_loss",
    "bf16",
    "bias_update",
    "broadcast_to",
    "combine",
    "concatenate",
    "constant",
    "dispatch",
    "erf",
    "exp",
    "expert_ffn",
    "experts",
    "f32",
    "full",
    "gelu",
    "glu",
    "group_add",
    "grouped_matmul",
    "i32",
    "limit",
    "linear",
    "log",
    "matmul",
    "max",
    "maximum",
    "min",
    "minimum",
    "noise",
    "relu",
    "reshape",
    "score",
    "select",
    "sigmoid",
    "silu",
    "soft_combine",
    "soft_dispatch",
    "softplus",
    "sqrt",
    "sum",
    "take",
    "tanh",
    "transpose",
    "weigh",
    "where",
]
