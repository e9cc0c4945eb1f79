# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What experts compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from moec.ops.operation import Operation, numbers
from moec.ops.routing import assign, combine, dispatch
from moec.ops.scope import Scope, current, times, type_of
from moec.ops.tensor import Index, Operand, Tensor, empty

GATED = ("swiglu", "geglu", "geglu_tanh", "reglu", "situ")
UNGATED = ("silu", "gelu", "gelu_tanh", "relu", "relu2")


def grouped_matmul(rows: Operand, weights: Operand, offsets: Operand | None = None) -> Tensor:
    """Rows times the transpose of their expert's matrix.

    Parameters
    ----------
    rows : tensor [N, in] f32
    weights : tensor [E, out, in], or [out, in] without offsets, f32 or bf16
    offsets : tensor [E+1] i32 or None
        Expert e owns the rows offsets[e] to offsets[e+1].

    Returns
    -------
    tensor [N, out] f32
        What stands past the last offset is not said.
    """
    op = Operation("grouped_matmul")
    rows = op.operand("rows", rows, "f32", "N", "in")
    extents = ("out", "in") if offsets is None else ("E", "out", "in")
    weights = op.operand("weights", weights, "f32|bf16", *extents)
    op.static(*extents)
    groups = ""
    if offsets is not None:
        offsets = op.operand("offsets", offsets, "i32", "E+1")
        groups = f"offsets({offsets.value} : {offsets.value.type}) "
    init = empty((op["N"], op["out"]))
    ins = f"ins({rows.value}, {weights.value} : {rows.value.type}, {weights.value.type})"
    body = current().body
    text = f"moe.grouped_matmul {ins} {groups}outs({init} : {init.type}) -> {init.type}"
    return Tensor(body.op("product", init.type, text), (op["N"], op["out"]))


def linear(x: Operand, weight: Operand) -> Tensor:
    """x [T, in] times the transpose of a weight [out, in]."""
    return grouped_matmul(x, weight)


def group_add(ys: Operand, bias: Operand, offsets: Operand) -> Tensor:
    """Rows plus the bias of their expert.

    Parameters
    ----------
    ys : tensor [N, H] f32
    bias : tensor [E, H] f32 or bf16
    offsets : tensor [E+1] i32
        Expert e owns the rows offsets[e] to offsets[e+1].

    Returns
    -------
    tensor [N, H] f32
    """
    op = Operation("group_add")
    ys = op.operand("ys", ys, "f32", "N", "H")
    bias = op.operand("bias", bias, "f32|bf16", "E", "H")
    offsets = op.operand("offsets", offsets, "i32", "E+1")
    op.static("E", "H")
    return op.result("biased", ys.shape, "f32", f"{ys.value}, {bias.value} by {offsets.value}", ys, bias, offsets)


def glu(
    gate: Operand,
    up: Operand | None = None,
    kind: str = "swiglu",
    alpha: float | None = None,
    beta: float | None = None,
    offset: float | None = None,
    limit: float | None = None,
    post: bool = False,
) -> Tensor:
    """A gated activation (arXiv:2002.05202), act(gate) * (up + offset), or one without a gate's partner, act(gate).

    Parameters
    ----------
    gate : tensor [N, I] f32
    up : tensor [N, I] f32 or None
    kind : str
        act(g) is g * sigmoid(alpha * g) for ``"swiglu"``, GELU for ``"geglu"``, its approximation by tanh for
        ``"geglu_tanh"``, max(g, 0) for ``"reglu"``; ``"situ"`` is
        (alpha * tanh(g / alpha) * sigmoid(g)) * (beta * tanh(up / beta)). Without up it is ``"silu"``, ``"gelu"``,
        ``"gelu_tanh"``, ``"relu"`` or ``"relu2"``, the square of the last.
    alpha, beta, offset : float or None
    limit : float or None
        gate is at most this and up within it, on both sides.
    post : bool
        The limit is that of act(gate) in place of gate.

    Returns
    -------
    tensor [N, I] f32
    """
    op = Operation("glu")
    gate = op.operand("gate", gate, "f32", "N", "I")
    names = str(gate.value)
    if up is not None:
        names += f", {op.operand('up', up, 'f32', 'N', 'I').value}"
    kinds = UNGATED if up is None else GATED
    op.check(kind in kinds, "kind", " or ".join(kinds), kind)
    op.check(alpha is None or kind in ("swiglu", "silu", "situ"), "alpha", f"none for {kind}", alpha)
    op.check(beta is None or kind == "situ", "beta", f"none for {kind}", beta)
    op.check(kind != "situ" or None not in (alpha, beta), "alpha, beta", "both for situ", f"{alpha}, {beta}")
    op.check(offset is None or up is not None, "offset", f"none for {kind}", offset)
    op.check(limit is None or limit > 0, "limit", "a positive number", limit)
    op.check(limit is not None or not post, "post", "a limit", "none")
    clauses = numbers(alpha=alpha, beta=beta, offset=offset, limit=limit) + " post" * post
    return op.result("hidden", gate.shape, "f32", f"{kind} {names}{clauses}", gate)


def experts(
    xs: Operand, offsets: Operand, segments: Sequence[int], bodies: Sequence[Callable[[Tensor, Index], Tensor]]
) -> Tensor:
    """Run any body on the rows of each expert.

    Parameters
    ----------
    xs : tensor [N, H] f32
    offsets : tensor [E+1] i32
        Expert e owns the rows offsets[e] to offsets[e+1].
    segments : sequence of int
        Numbers of consecutive experts that share a body.
    bodies : sequence of callable
        For each segment, a function of an expert's rows [n, H] f32, for any n, and its number within the segment, by
        which a weight or tensor of several experts is indexed. It returns as many rows, [n, D] f32.

    Returns
    -------
    tensor [N, D] f32
        What stands past the last offset is not said.
    """
    op = Operation("experts")
    xs = op.operand("xs", xs, "f32", "N", "H")
    offsets = op.operand("offsets", offsets, "i32", "E+1")
    op.static("E", "H")
    segments = list(segments)
    op.check(len(segments) == len(bodies), "bodies", f"one for each of {len(segments)} segments", len(bodies))
    op.check(min(segments, default=0) >= 1, "segments", "at least one expert each", segments)
    op.check(sum(segments) == op["E"], "segments", f"{op['E']} experts", f"{segments}, which are {sum(segments)}")
    outer = current()
    body = outer.body
    result = body.value("ys", xs.value.type)

    def head() -> str:
        operands = f"{xs.value} by {offsets.value} segments {segments} : {xs.value.type}, {offsets.value.type}"
        return f"{result} = moe.experts {operands} -> {type_of((op['N'], op['D']), 'f32')}"

    for number, expert in enumerate(bodies):
        last = number == len(segments) - 1
        with body.region("}," if number else head, "}" if last else ""), Scope(body, outer).entered():
            op["n"] = f"rows of {result} in segment {number}"
            x, e = body.value("rows", type_of((op["n"], op["H"]), "f32")), body.value("e", "index")
            body.line(f"^bb0({x}: {x.type}, {e}: index):")
            y = op.operand(f"segment {number}", expert(Tensor(x, (op["n"], op["H"])), Index(e)), "f32", "n", "D")
            op.static("D")
            body.line(f"moe.yield {y.value} : {y.value.type}")
    shape = (op["N"], op["D"])
    return Tensor(replace(result, type=type_of(shape, "f32")), shape)


def soft_dispatch(x: Operand, weights: Operand, cu: Operand | None = None) -> Tensor:
    """Mix the tokens of each group into slots (arXiv:2308.00951).

    Parameters
    ----------
    x : tensor [T, H] f32
    weights : tensor [T, S] f32
    cu : tensor [B+1] i32 or None
        Group b owns the tokens cu[b] to cu[b+1]; None is one group.

    Returns
    -------
    tensor [S * B, H] f32
        Row s * B + b is the sum over the tokens t of group b of weights[t, s] * x[t].
    """
    op = Operation("soft_dispatch")
    x, weights = op.operand("x", x, "f32", "T", "H"), op.operand("weights", weights, "f32", "T", "S")
    op.static("S")
    groups = op.groups(cu)
    return op.result("xs", (times(op["B"], op["S"]), op["H"]), "f32", f"{x.value}, {weights.value}{groups}", x, weights)


def soft_combine(ys: Operand, weights: Operand, cu: Operand | None = None) -> Tensor:
    """Mix the slots of each group into tokens.

    Parameters
    ----------
    ys : tensor [S * B, H] f32
        As `soft_dispatch` orders them.
    weights : tensor [T, S] f32
    cu : tensor [B+1] i32 or None
        Group b owns the tokens cu[b] to cu[b+1]; None is one group.

    Returns
    -------
    tensor [T, H] f32
    """
    op = Operation("soft_combine")
    weights = op.operand("weights", weights, "f32", "T", "S")
    op.static("S")
    groups = op.groups(cu)
    op["S * B"] = times(op["B"], op["S"])
    ys = op.operand("ys", ys, "f32", "S * B", "H")
    return op.result("y", (op["T"], op["H"]), "f32", f"{ys.value}, {weights.value}{groups}", ys, weights)


def expert_ffn(
    x: Operand,
    indices: Operand,
    weights: Operand,
    gate: Operand,
    up: Operand,
    down: Operand,
    activation: Callable[[Tensor, Tensor], Tensor] = glu,
) -> Tensor:
    """Send each token through its experts: `assign`, `dispatch`, three times `grouped_matmul`, a `glu`, `combine`.

    Parameters
    ----------
    x : tensor [T, H] f32
    indices : tensor [T, k] i32
        -1 is no expert.
    weights : tensor [T, k] f32
    gate, up : tensor [E, I, H] f32 or bf16
    down : tensor [E, H, I] f32 or bf16
    activation : callable
        Of gate and up, [N, I] both.

    Returns
    -------
    tensor [T, H] f32
    """
    op = Operation("expert_ffn")
    indices, gate = op.operand("indices", indices, "i32", "T", "k"), op.operand("gate", gate, "f32|bf16", "E", "I", "H")
    op.static("E", "k")
    row, perm, offsets = assign(indices, op["E"])
    rows = dispatch(x, perm, op["k"])
    hidden = activation(grouped_matmul(rows, gate, offsets), grouped_matmul(rows, up, offsets))
    return combine(grouped_matmul(hidden, down, offsets), row, weights)
