#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Print the perplexity per byte of a compiled package on heldout.txt, measured as train.py measures the model: windows
of 256 bytes that do not overlap, each a sequence of its own, whose first byte is not scored.

    perplexity.py build/bible.moe
"""

import sys
from pathlib import Path

import numpy as np

import moec

WINDOW = 256
WINDOWS_OF_A_CALL = 8


def score(logits, windows):
    """Log-likelihoods of all bytes of a window but the first.

    Parameters
    ----------
    logits : array [windows, length, 256]
    windows : array [windows, length] of int

    Returns
    -------
    array [windows, length - 1] f64
        In nats.
    """
    logits, targets = logits[:, :-1].astype(np.float64), windows[:, 1:, None]
    largest = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - largest).sum(axis=-1, keepdims=True)) + largest
    return (np.take_along_axis(logits, targets, axis=-1) - total)[..., 0]


def perplexity(model, text):
    """Perplexity per byte of a text.

    Parameters
    ----------
    model : moec.run.Model
    text : bytes

    Returns
    -------
    float
    """
    tokens = np.frombuffer(text, np.uint8).astype(np.int64)
    whole, rest = np.split(tokens, [len(tokens) - len(tokens) % WINDOW])
    whole = whole.reshape(-1, WINDOW)
    batches = [whole[i : i + WINDOWS_OF_A_CALL] for i in range(0, len(whole), WINDOWS_OF_A_CALL)] + [rest[None]]
    scores = [score(model.logits(batch), batch).ravel() for batch in batches if batch.size]
    return np.exp(-np.concatenate(scores).mean())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    text = (Path(__file__).parent / "heldout.txt").read_bytes()
    print(f"perplexity {perplexity(moec.load(sys.argv[1]), text):.4f} per byte")
