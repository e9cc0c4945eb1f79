# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tokens to text while they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TextStream:
    """Decodes tokens one by one, and holds back characters whose bytes are not yet complete.

    A token's text can depend on the one before it, e.g. in its leading space. So each step decodes a short run of
    tokens with and without the new ones, and hands out the difference.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
    prompt : list of int
        What the tokens continue.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: list[int]):
        self._tokenizer = tokenizer
        self._run = list(prompt)
        self._known = len(self._run)

    def push(self, token: int) -> str:
        """The text that a token completes."""
        self._run.append(token)
        text = self._new_text()
        if text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        self._run = self._run[self._known :]
        self._known = len(self._run)
        return text

    def flush(self) -> str:
        """What is held back, after the last token."""
        return self._new_text()

    def _new_text(self) -> str:
        known = self._tokenizer.decode(self._run[: self._known])
        return self._tokenizer.decode(self._run)[len(known) :]
