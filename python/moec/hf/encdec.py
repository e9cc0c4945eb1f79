# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What an encoder-decoder computes, and its weights: layers whose networks are two products around a ReLU, in some
layers with experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

import numpy as np

from moec.hf.spec import Norm
from moec.hf.weights import Parameter, Shape, Stack


@dataclass(frozen=True)
class Buckets:
    """Positions as a bias on the scores of self-attention, one for each head and range of distances (arXiv:1910.10683).

    Attributes
    ----------
    count, max_distance : int
        Biases of one head, and the distance from which on all positions share one.
    """

    count: int
    max_distance: int

    def numbers(self, bidirectional: bool) -> list[int]:
        """Which bias belongs to each distance from -max_distance to max_distance.

        Half of the buckets are for one distance each, the others for ranges that grow with the distance's logarithm; in
        an encoder either sign has half of them. Rounds as ``_relative_position_bucket`` of transformers'
        ``modeling_switch_transformers.py`` does.
        """
        distance = np.arange(-self.max_distance, self.max_distance + 1)
        count = self.count // 2 if bidirectional else self.count
        base = np.where(distance > 0, count, 0) if bidirectional else 0
        distance = np.abs(distance) if bidirectional else np.maximum(-distance, 0)
        exact = count // 2
        steps = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
        steps = steps / np.float32(np.log(self.max_distance / exact)) * np.float32(count - exact)
        far = np.minimum(exact + steps.astype(np.int64), count - 1)
        return (base + np.where(distance < exact, distance, far)).tolist()


@dataclass(frozen=True)
class Sinusoids:
    """Positions as waves that are added to the embeddings (arXiv:1706.03762).

    Attributes
    ----------
    offset : int
        What positions are shifted by.
    pad : int
        Token to which none is added.
    """

    offset: int
    pad: int

    def frequencies(self, channels: int) -> list[float]:
        """Angle per position, in radians, of the first half of the channels, which are sines, and of the cosines."""
        half = channels // 2
        exponents = np.arange(half, dtype=np.float32) * np.float32(-np.log(10000) / (half - 1))
        return [float(str(frequency)) for frequency in np.tile(np.exp(exponents), 2)]


@dataclass(frozen=True)
class Side:
    """An encoder or a decoder.

    Attributes
    ----------
    sparse : tuple of bool
        Whether each layer has experts.
    intermediate : int
        Width of each network and expert.
    """

    sparse: tuple[bool, ...]
    heads: int
    head_dim: int
    intermediate: int


@dataclass(frozen=True)
class Routing:
    """How a token's experts are chosen: those with the largest probabilities, by which their results are multiplied.

    Attributes
    ----------
    capacity : int or None
        Tokens of one sequence and call that an expert takes; later ones skip it.
    norm : bool
        Whether the k weights of a token are divided by their sum, but by no less than `at_least`.
    scale : float
        What the weights are multiplied by in the end.
    """

    experts: int
    top_k: int
    capacity: int | None = None
    norm: bool = False
    at_least: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class EncoderDecoder:
    """A whole model.

    Attributes
    ----------
    scaled : bool
        Whether scores are multiplied by head_dim**-0.5.
    bias : bool
        Whether the products of attention and networks add one.
    embedding_scale, logit_scale : float
        What embeddings, and the decoder's result before the output projection, are multiplied by.
    tied : bool
        Whether one table embeds sources and texts and is the output projection.
    names : dict of str to str
        Tensor name for each role; ``{0}`` stands for the layer, ``{1}`` for the expert. Biases go with their weights.
    max_len, norm, dtype, unused, bos, eos, tokenizer
        As in `moec.hf.spec.Spec`; a text begins with `bos` and answers a source.
    """

    architecture: str
    vocab: int
    hidden: int
    encoder: Side
    decoder: Side
    routing: Routing
    positions: Union[Buckets, Sinusoids]
    norm: Norm
    scaled: bool
    bias: bool
    embedding_scale: float
    logit_scale: float
    max_len: int
    tied: bool
    dtype: str | None
    names: dict[str, str]
    unused: str = ""
    bos: int | None = None
    eos: tuple[int, ...] = ()
    tokenizer: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """What a caller may want to know, by name."""
        layers = len(self.encoder.sparse) + len(self.decoder.sparse)
        routing = {"experts": self.routing.experts, "top_k": self.routing.top_k}
        return {"hidden": self.hidden, "layers": layers} | routing

    @property
    def sides(self) -> dict[str, Side]:
        return {"encoder": self.encoder, "decoder": self.decoder}


def encoder_decoder_parameters(spec: EncoderDecoder) -> list[Parameter]:
    """All parameters; those of layers carry the name of the function that reads them and a dot in front."""
    found: list[Parameter] = []

    def add(function: str, stack: tuple[tuple[int, ...], ...], shapes: dict[str, Shape]) -> None:
        for role, shape in shapes.items():
            name = f"{function}.{role}" if function else role
            found.append(Stack(name, _tensor(spec, name), stack, shape))

    hidden, norm = spec.hidden, _with_bias({"norm": (spec.hidden,)}, spec.norm.bias)
    tables = ("embed",) if spec.tied else ("encoder_embed", "decoder_embed", "head")
    add("", (), dict.fromkeys(tables, (spec.vocab, hidden)))
    for name, side in spec.sides.items():
        if isinstance(spec.positions, Buckets):
            add("", (), {f"{name}_buckets": (spec.positions.count, side.heads)})
        add("", (), {f"{name}_{role}": shape for role, shape in norm.items()})
        inner, depths = side.heads * side.head_dim, tuple(range(len(side.sparse)))
        into, out = (inner, hidden), (hidden, inner)
        attention = norm | _with_bias({"q": into, "k": into, "v": into, "o": out}, spec.bias)
        network = _with_bias({"up": (side.intermediate, hidden), "down": (hidden, side.intermediate)}, spec.bias)
        add(name, (depths,), attention)
        if name == "decoder":
            add("cross", (depths,), attention)
        dense, sparse = (tuple(at for at in depths if side.sparse[at] == kind) for kind in (False, True))
        if dense:
            add(f"{name}_dense", (dense,), norm | network)
        if sparse:
            add(f"{name}_sparse", (sparse,), norm | {"router": (spec.routing.experts, hidden)})
            add(f"{name}_sparse", (sparse, tuple(range(spec.routing.experts))), network)
    return found


def _with_bias(shapes: dict[str, Shape], bias: bool) -> dict[str, Shape]:
    return shapes | ({f"{role}_bias": shape[:1] for role, shape in shapes.items()} if bias else {})


def _tensor(spec: EncoderDecoder, name: str) -> str:
    """Pattern of a role's tensors; a bias stands beside its weight."""
    if name in spec.names:
        return spec.names[name]
    return spec.names[name.removesuffix("_bias")].removesuffix("weight") + "bias"
