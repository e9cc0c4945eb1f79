# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a decoder computes, independent of how its family spells it in config.json."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding of the first ``dim`` channels of each head, halves rotated against each other.

    Attributes
    ----------
    inv_freq : tuple of float, length dim / 2
        Angle per position, in radians.
    factor : float
        What cosine and sine are multiplied by.
    """

    inv_freq: tuple[float, ...]
    factor: float = 1.0

    @property
    def dim(self) -> int:
        return 2 * len(self.inv_freq)


@dataclass(frozen=True)
class Attention:
    """Grouped-query attention: query head h reads key and value head h / (heads / kv_heads).

    Attributes
    ----------
    bias : bool
        Whether the four projections add one.
    qk_norm : str or None
        What the RMS norms of query and key span: a ``"head"``, the whole ``"projection"``, or None.
    clip : float or None
        Bound on the absolute value of query, key and value after their norms.
    window : int or None
        Number of positions a query sees, itself included; None is all of them.
    """

    heads: int
    kv_heads: int
    head_dim: int
    bias: bool = False
    qk_norm: str | None = None
    clip: float | None = None
    window: int | None = None


@dataclass(frozen=True)
class Dense:
    """One SwiGLU network for all tokens."""

    intermediate: int


@dataclass(frozen=True)
class Sparse:
    """Top-k of many SwiGLU networks, weighted by the softmax over all experts.

    Attributes
    ----------
    normalize : bool
        Whether the k weights of a token are divided by their sum.
    """

    intermediate: int
    experts: int
    top_k: int
    normalize: bool


@dataclass(frozen=True)
class Layer:
    """One kind of layer; layers that compare equal differ only in their weights."""

    attention: Attention
    ffn: Dense | Sparse


@dataclass(frozen=True)
class Spec:
    """A whole decoder.

    Attributes
    ----------
    layers : tuple of Layer
        In order of depth.
    max_len : int
        Positions the model was made for.
    eps : float
        Added to the mean square in every RMS norm.
    tied : bool
        Whether the embedding is also the output projection.
    dtype : str or None
        What config.json says of the weights, e.g. ``"bfloat16"``; a checkpoint's headers overrule it.
    bos, eos : int or None, tuple of int
        Token ids that begin and end a text.
    tokenizer : bool
        Whether a tokenizer.json lies beside the weights.
    names : dict of str to str
        Tensor name for each role; ``{0}`` stands for the layer, ``{1}`` for the expert.
    block : str
        Name of the module that holds a layer's experts, with ``{0}`` for the layer.
    """

    architecture: str
    vocab: int
    hidden: int
    layers: tuple[Layer, ...]
    rope: Rope
    max_len: int
    eps: float
    tied: bool
    dtype: str | None
    bos: int | None
    eos: tuple[int, ...]
    tokenizer: bool
    names: dict[str, str]
    block: str

    @property
    def kinds(self) -> dict[Layer, tuple[int, ...]]:
        """Each kind of layer with the depths where it stands, in order of first appearance."""
        kinds: dict[Layer, list[int]] = {}
        for depth, layer in enumerate(self.layers):
            kinds.setdefault(layer, []).append(depth)
        return {kind: tuple(depths) for kind, depths in kinds.items()}
