# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What only training needs: losses, updates, random numbers."""

from __future__ import annotations

import numpy as np


def aux_loss(
    kind: str,
    values: np.ndarray,
    indices: np.ndarray | None = None,
    cu: np.ndarray | None = None,
    scale: float = 1.0,
) -> np.float32:
    """How unevenly the experts of a layer are used.

    Parameters
    ----------
    kind : str
        ``"balance"``: E sum_e f_e P_e, the mean over groups that have tokens (arXiv:2101.03961); ``"z"``: mean of the
        squared log-sum-exp (arXiv:2202.08906); ``"cv2"``: variance / (mean^2 + 1e-10) of the sums of columns
        (arXiv:1701.06538).
    values : array [T, E]
        Scores, logits, or weights.
    indices : array [T, k] i32 or None
        Chosen experts, -1 is none; for ``"balance"``.
    cu : array [B+1] i32 or None
        Group b owns the rows cu[b] to cu[b+1]; None is one group.
    scale : float
    """
    values = np.asarray(values, np.float64)
    tokens, experts = values.shape
    if kind == "balance":
        cu = [0, tokens] if cu is None else cu
        losses = [
            experts * (np.bincount(own[own >= 0], minlength=experts) / (end - begin)) @ values[begin:end].mean(axis=0)
            for begin, end in zip(cu[:-1], cu[1:])
            if end > begin
            for own in [indices[begin:end].reshape(-1)]
        ]
        loss = np.mean(losses) if losses else 0.0
    elif kind == "z":
        loss = np.mean(np.logaddexp.reduce(values, axis=1) ** 2) if tokens else 0.0
    else:
        sums = values.sum(axis=0)
        loss = sums.var() / (sums.mean() ** 2 + 1e-10)
    return np.float32(scale * loss)


def bias_update(kind: str, bias: np.ndarray, counts: np.ndarray, rate: float) -> np.ndarray:
    """Move the bias of a selection towards even load.

    Parameters
    ----------
    kind : str
        ``"sign"``: b + rate * sign(mean(c) - c) (arXiv:2412.19437); ``"proportional"``: b + rate * (1/E - c / sum(c)).
    bias : array [E]
    counts : array [E] i32
        Slots that each expert got.
    rate : float

    Returns
    -------
    array [E] f32
    """
    counts = np.asarray(counts, np.float64)
    if kind == "sign":
        return (bias + rate * np.sign(counts.mean() - counts)).astype(np.float32)
    total = counts.sum()
    return (bias + rate * (1 / len(counts) - counts / total if total else 0 * counts)).astype(np.float32)


def noise(distribution: str, seed: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Random numbers that depend on a seed and on their place only.

    Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405) with the row-major place as counter.

    Parameters
    ----------
    distribution : str
        ``"uniform"`` between 0 and 1, standard ``"normal"``, or standard ``"gumbel"``.
    seed : array [2] i32
    like : array [T, E]
        Gives the shape.

    Returns
    -------
    array [T, E] f32
    """
    counter = np.zeros((4, like.size), np.uint64)
    counter[0] = np.arange(like.size)
    words = philox(counter, np.asarray(seed).astype(np.uint32).astype(np.uint64))
    u, v = (((word >> np.uint64(9)) + 0.5) / 2**23 for word in words[:2])
    drawn = {
        "uniform": lambda: u,
        "normal": lambda: np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v),
        "gumbel": lambda: -np.log(-np.log(u)),
    }[distribution]()
    return drawn.reshape(like.shape).astype(np.float32)


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Philox4x32-10 of counters [4, n], with the key [2]; words are u64 below 2^32."""
    low = np.uint64(0xFFFFFFFF)
    for number in range(10):
        first, second = counter[0] * np.uint64(0xD2511F53), counter[2] * np.uint64(0xCD9E8D57)
        keys = [(key[i] + np.uint64(number) * step) & low for i, step in enumerate(_PHILOX_STEPS)]
        counter = np.stack(
            [
                (second >> np.uint64(32)) ^ counter[1] ^ keys[0],
                second & low,
                (first >> np.uint64(32)) ^ counter[3] ^ keys[1],
                first & low,
            ]
        )
    return counter


_PHILOX_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
