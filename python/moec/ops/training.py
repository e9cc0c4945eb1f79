# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a router's training needs beside its gradient."""

from __future__ import annotations

from moec.ops.operation import Operation, numbers
from moec.ops.tensor import Operand, Tensor

LOSSES = ("balance", "z", "cv2")
DISTRIBUTIONS = ("uniform", "normal", "gumbel")


def aux_loss(
    kind: str,
    values: Operand,
    indices: Operand | None = None,
    cu: Operand | None = None,
    scale: float | None = None,
) -> Tensor:
    """How unevenly the experts of a layer are used.

    Parameters
    ----------
    kind : str
        ``"balance"``: E sum_e f_e P_e, the mean over groups that have tokens (arXiv:2101.03961); ``"z"``: mean of the
        squared log-sum-exp (arXiv:2202.08906); ``"cv2"``: variance / (mean^2 + 1e-10) of the sums of columns
        (arXiv:1701.06538).
    values : tensor [T, E] f32
        Scores, logits, or weights.
    indices : tensor [T, k] i32 or None
        Chosen experts, -1 is none; for ``"balance"``.
    cu : tensor [B+1] i32 or None
        Group b owns the tokens cu[b] to cu[b+1]; None is one group. For ``"balance"``.
    scale : float or None
        A factor.

    Returns
    -------
    tensor [] f32
    """
    op = Operation("aux_loss")
    values = op.operand("values", values, "f32", "T", "E")
    op.static("E")
    op.check(kind in LOSSES, "kind", " or ".join(LOSSES), kind)
    op.check((indices is not None) == (kind == "balance"), "indices", "them with balance and only with it", kind)
    op.check(cu is None or kind == "balance", "cu", "them with balance only", kind)
    clauses = op.clause("at", "indices", indices, "i32", "T", "k") + op.groups(cu)
    return op.result("loss", (), "f32", f"{kind} {values.value}{clauses}{numbers(scale=scale)}", values)


def bias_update(kind: str, bias: Operand, counts: Operand, rate: float) -> Tensor:
    """Move the bias of a selection towards even load.

    Parameters
    ----------
    kind : str
        ``"sign"``: b + rate * sign(mean(c) - c) (arXiv:2412.19437); ``"proportional"``: b + rate * (1/E - c / sum(c)).
    bias : tensor [E] f32
    counts : tensor [E] i32
        Slots that each expert got.
    rate : float

    Returns
    -------
    tensor [E] f32
    """
    op = Operation("bias_update")
    bias, counts = op.operand("bias", bias, "f32", "E"), op.operand("counts", counts, "i32", "E")
    op.static("E")
    op.check(kind in ("sign", "proportional"), "kind", "sign or proportional", kind)
    text = f"{kind} {bias.value}, {counts.value}{numbers(rate=rate)}"
    return op.result("updated", bias.shape, "f32", text, bias, counts)


def noise(distribution: str, seed: Operand, like: Operand) -> Tensor:
    """Random numbers that depend on a seed and on their place only (Philox4x32-10).

    Parameters
    ----------
    distribution : str
        ``"uniform"`` between 0 and 1, standard ``"normal"``, or standard ``"gumbel"``.
    seed : tensor [2] i32
    like : tensor [T, E] f32
        Gives the shape.

    Returns
    -------
    tensor [T, E] f32
    """
    op = Operation("noise")
    like = op.operand("like", like, "f32", "T", "E")
    op["seeds"] = 2
    seed = op.operand("seed", seed, "i32", "seeds")
    op.check(distribution in DISTRIBUTIONS, "distribution", " or ".join(DISTRIBUTIONS), distribution)
    return op.result("noise", like.shape, "f32", f"{distribution} {seed.value} like {like.value}", seed, like)
