# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a router's training needs beside its gradient."""

from __future__ import annotations

from moec.mlir.text import float_literal
from moec.ops.operation import Operation
from moec.ops.tensor import Operand, Tensor

NOISES = ("uniform", "normal", "gumbel")


def aux_loss(
    kind: str, scores: Operand, indices: Operand | None = None, scale: float | None = None, cu: Operand | None = None
) -> Tensor:
    """A loss that keeps experts equally busy.

    Parameters
    ----------
    kind : str
        ``"balance"`` (arXiv:2101.03961), ``"z"`` (arXiv:2202.08906) or ``"cv2"`` (arXiv:1701.06538).
    scores : tensor [T, E] f32
        Scores, of ``"z"`` logits, of ``"cv2"`` gates.
    indices : tensor [T, k] i32
        Of ``"balance"`` only: the chosen experts.
    scale : float or None
        A factor.
    cu : tensor [B+1] i32 or None
        The mean over groups of tokens cu[b] to cu[b+1]; None is one group.

    Returns
    -------
    tensor [] f32
    """
    op = Operation("aux_loss")
    typed = [op.operand("scores", scores, "f32", "T", "E")]
    op.check(kind in ("balance", "z", "cv2"), "kind", "balance or z or cv2", kind)
    op.check((indices is not None) == (kind == "balance"), "indices", "them with balance and only with it", kind)
    text = f"{kind} {typed[0].value}"
    if indices is not None:
        typed.append(op.operand("indices", indices, "i32", "T", "k"))
        text += f" at {typed[-1].value}"
    text += f" scale {float_literal(scale)}" if scale is not None else ""
    if cu is not None:
        typed.append(op.operand("cu", cu, "i32", "B+1"))
        text += f" of {typed[-1].value}"
    return op.result("loss", (), "f32", text, *typed)


def bias_update(bias: Operand, counts: Operand, rate: float, kind: str = "sign") -> Tensor:
    """The next selection bias: more for experts that had too few slots (arXiv:2408.15664).

    Parameters
    ----------
    bias : tensor [E] f32
    counts : tensor [E] i32
        Slots that each expert had.
    rate : float
        Length of a step.
    kind : str
        The step is the ``"sign"`` of what is missing, or ``"proportional"`` to it.

    Returns
    -------
    tensor [E] f32
    """
    op = Operation("bias_update")
    bias, counts = op.operand("bias", bias, "f32", "E"), op.operand("counts", counts, "i32", "E")
    op.check(kind in ("sign", "proportional"), "kind", "sign or proportional", kind)
    text = f"{kind} {bias.value}, {counts.value} rate {float_literal(rate)}"
    return op.result("updated", bias.shape, "f32", text, bias, counts)


def noise(kind: str, seed: Operand, like: Operand) -> Tensor:
    """Random numbers, the same for the same seed: Philox4x32-10 (Salmon et al. 2011) of the flat index.

    Parameters
    ----------
    kind : str
        ``"uniform"`` in [0, 1), standard ``"normal"`` or standard ``"gumbel"``.
    seed : tensor [2] i32
    like : tensor f32
        What has the shape.

    Returns
    -------
    tensor f32
        Of that shape.
    """
    op = Operation("noise")
    like = op.operand("like", like, "f32", "T", "E")
    op["seeds"] = 2
    seed = op.operand("seed", seed, "i32", "seeds")
    op.check(kind in NOISES, "kind", " or ".join(NOISES), kind)
    return op.result("noise", like.shape, "f32", f"{kind} {seed.value} like {like.value}", seed, like)
