# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Text that comes token by token is the text of all tokens."""

import pytest

from moec.text import TextStream

tokenizers = pytest.importorskip("tokenizers")

TEXT = "Straße 北京 👩‍🔬 e\u0301 end"


def byte_level():
    """As OLMoE and Qwen: every token is a byte."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return tokenizer


def byte_fallback():
    """As Mixtral: words with a mark for the space before them, and bytes for what is not in the vocabulary."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"Straenpd"]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE({p: i for i, p in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Prepend("▁"), tokenizers.normalizers.Replace(" ", "▁")]
    )
    d = tokenizers.decoders
    tokenizer.decoder = d.Sequence([d.Replace("▁", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)])
    return tokenizer


@pytest.fixture(params=[byte_level, byte_fallback])
def tokenizer(request):
    return request.param()


@pytest.mark.parametrize("known", [1, 4])
def test_pieces_add_up(tokenizer, known):
    ids = tokenizer.encode(TEXT).ids
    stream = TextStream(tokenizer, ids[:known])
    pieces = [stream.push(token) for token in ids[known:]]
    assert tokenizer.decode(ids[:known]) + "".join(pieces) + stream.flush() == TEXT
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_character_that_stays_incomplete(tokenizer):
    ids = tokenizer.encode("a京").ids
    stream = TextStream(tokenizer, ids[:-3])
    assert [stream.push(token) for token in ids[-3:-1]] == ["", ""]
    assert set(stream.flush()) == {"\N{REPLACEMENT CHARACTER}"}
