# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Continues texts: a ragged batch of prompts, then one token of each unfinished text at a time.

An encoder-decoder takes the prompts as sources, and each text begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from moec.errors import Error
from moec.sample import check_sampling, choose

if TYPE_CHECKING:
    from moec.run import Model


def stream(
    model: Model,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 0,
    top_p: float = 1,
    seed: int | None = None,
) -> Iterator[tuple[int, int]]:
    """New tokens as they come; the model's caches are overwritten.

    Parameters
    ----------
    model : Model
    prompts : sequence of sequences of int
        Token ids; at least one in each prompt.
    max_new_tokens : int
        A text also ends after one of the model's `eos`, and when it has `max_len` tokens.
    temperature, top_p : float
        As in `moec.sample.choose`; 0 and 1 are greedy.
    seed : int or None
        Makes draws repeatable; each prompt has draws of its own.

    Yields
    ------
    tuple of int
        Number of a prompt, and its next token.

    Raises
    ------
    Error
        If a prompt is empty or longer than `max_len`, an id is not in the vocabulary, or temperature or top_p is out of
        range.
    """
    check_sampling(temperature, top_p)
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    if lengths.size and not 0 < lengths.min() <= lengths.max() <= model.max_len:
        raise Error(f"prompt: expected 1 to {model.max_len} tokens, got {sorted(set(lengths.tolist()))}")
    sources = prompts
    if model.has_encoder:
        prompts, lengths = [[model.bos]] * len(sources), np.ones_like(lengths)
    limits = np.minimum(lengths + max_new_tokens, model.max_len)
    draws = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(len(prompts))]
    longest = max([int(limits.max(initial=0)), *map(len, sources)])
    model.require(len(prompts), longest, sum(map(len, sources)))
    if model.has_encoder:
        tokens = np.array([token for source in sources for token in source], np.int32)
        model.encode(tokens, np.cumsum([0, *map(len, sources)]), np.arange(len(sources)))

    cached = np.zeros_like(lengths)
    pending = {index: list(prompts[index]) for index in np.flatnonzero(lengths < limits).tolist()}
    while pending:
        live = np.array(list(pending), np.int32)
        tokens = np.array([token for new in pending.values() for token in new])
        cu = np.cumsum([0, *map(len, pending.values())])
        logits = model.forward(tokens, cu, cached[live], live, cu[1:] - 1)
        cached[live] += np.diff(cu)
        for index, row in zip(list(pending), logits):
            token = choose(row, temperature, top_p, draws[index])
            yield index, token
            pending[index] = [token]
            if token in model.eos or cached[index] + 1 >= limits[index]:
                del pending[index]
