# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention of ragged sequences over a cache.

Sequence b owns rows cu[b] to cu[b+1]; its first row has position past[b], and it is cached at slot[b].
"""

from __future__ import annotations

import numpy as np


def cache_update(
    rows: np.ndarray, cu: np.ndarray, past: np.ndarray, slot: np.ndarray, cache: np.ndarray, layer: int
) -> None:
    """Write new keys or values into a cache, in place.

    Parameters
    ----------
    rows : array [N, kv, D]
    cu : array [B+1] i32
    past, slot : array [B] i32
    cache : array [L, slots, kv, max_len, D]
        Row r of sequence b goes to [layer, slot[b], :, past[b] + r - cu[b]].
    layer : int
    """
    for b, at in enumerate(slot):
        new = rows[cu[b] : cu[b + 1]]
        cache[layer, at, :, past[b] : past[b] + len(new)] = new.swapaxes(0, 1)


def attention(
    q: np.ndarray,
    cu: np.ndarray,
    past: np.ndarray,
    slot: np.ndarray,
    k_cache: np.ndarray,
    v_cache: np.ndarray,
    layer: int,
    scale: float,
    window: int | None = None,
    chunk: int | None = None,
    softcap: float | None = None,
    sinks: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """Softmax attention (arXiv:1706.03762), with heads in groups (arXiv:2305.13245).

    Parameters
    ----------
    q : array [N, heads, D]
        Head h reads key and value head h / (heads / kv).
    cu : array [B+1] i32
    past, slot : array [B] i32
    k_cache, v_cache : array [L, slots, kv, max_len, D]
        They already hold the new rows. What lies after a row's position is not read.
    layer : int
    scale : float
        What products of queries and keys are multiplied by.
    window : int or None
        Number of positions that a row sees, its own included; None is all up to its own.
    chunk : int or None
        A row sees no position before the last multiple of this that is not after its own (Llama 4's chunked attention).
    softcap : float or None
        Scores s become softcap * tanh(s / softcap), after the scale (Gemma 2, arXiv:2408.00118).
    sinks : array [heads] or None
        Logits that join each row's softmax and have no value (gpt-oss; arXiv:2309.17453 has the idea).
    lengths : array [B] i32 or None
        Positions of each sequence that all its rows see; None is causal attention.
    bias : array [heads, 2r+1] or None
        What is added to the score of a position at distance -r to r of the row's, farther ones included (T5,
        arXiv:1910.10683).

    Returns
    -------
    array [N, heads, D] f32
        NaN for rows that see nothing, unless there are sinks.
    """
    group = q.shape[1] // k_cache.shape[2]
    result = np.empty(q.shape, np.float32)
    for b, at in enumerate(slot):
        for row in range(cu[b], cu[b + 1]):
            position = past[b] + row - cu[b]
            end = position + 1
            begin = max(end - window if window else 0, position // chunk * chunk if chunk else 0, 0)
            if lengths is not None:
                end = lengths[b]
            keys, values = (
                np.repeat(cache[layer, at, :, begin:end].astype(np.float64), group, axis=0)
                for cache in (k_cache, v_cache)
            )
            scores = scale * np.einsum("hd,hjd->hj", q[row].astype(np.float64), keys)
            if bias is not None:
                reach = bias.shape[1] // 2
                scores += bias[:, reach + np.clip(np.arange(begin, end) - position, -reach, reach)]
            if softcap:
                scores = softcap * np.tanh(scores / softcap)
            if sinks is not None:
                scores = np.concatenate([scores, sinks[:, None].astype(np.float64)], axis=1)
            powers = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
            total = np.einsum("hj,hjd->hd", powers[:, : keys.shape[1]], values)
            with np.errstate(invalid="ignore"):
                result[row] = total / powers.sum(axis=1)[:, None]
    return result
