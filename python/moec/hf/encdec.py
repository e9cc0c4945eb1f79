# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What an encoder-decoder computes, and its weights: T5 (arXiv:1910.10683) with experts in some layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moec.hf.weights import Parameter, Shape, Stack


@dataclass(frozen=True)
class EncoderDecoder:
    """Self-attention without scale and with a bias by distance, attention to the encoder's result, ReLU networks.

    Attributes
    ----------
    intermediate : int
        Width of each network and expert.
    capacity : int
        Tokens of one sequence and call that an expert takes; later ones skip it.
    encoder, decoder : tuple of bool
        Whether each layer has experts.
    buckets, max_distance : int
        Biases of one head, and the distance from which on all positions share one.
    max_len : int
        Positions the model was made for.
    eps : float
        Added to the mean square in every RMS norm.
    logit_scale : float
        What the decoder's result is multiplied by before the output projection.
    names : dict of str to str
        Tensor name for each role; ``{0}`` stands for the layer, ``{1}`` for the expert.
    tied : bool
        Whether one table embeds sources and texts and is the output projection.
    dtype, unused, bos, eos, tokenizer
        As in `moec.hf.spec.Spec`; a text begins with `bos` and answers a source.
    """

    architecture: str
    vocab: int
    hidden: int
    heads: int
    head_dim: int
    intermediate: int
    experts: int
    capacity: int
    encoder: tuple[bool, ...]
    decoder: tuple[bool, ...]
    buckets: int
    max_distance: int
    max_len: int
    eps: float
    logit_scale: float
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
        layers = len(self.encoder) + len(self.decoder)
        return {"hidden": self.hidden, "layers": layers, "experts": self.experts, "top_k": 1}


def encoder_decoder_parameters(spec: EncoderDecoder) -> list[Parameter]:
    """All parameters; those of layers carry the name of the function that reads them and a dot in front."""
    hidden, inner = spec.hidden, spec.heads * spec.head_dim
    tables = ("embed",) if spec.tied else ("encoder_embed", "decoder_embed", "head")
    top: dict[str, Shape] = dict.fromkeys(tables, (spec.vocab, hidden))
    for side in ("encoder", "decoder"):
        top |= {f"{side}_bias": (spec.buckets, spec.heads), f"{side}_norm": (hidden,)}
    found: list[Parameter] = [Stack(role, spec.names[role], (), shape) for role, shape in top.items()]

    def add(function: str, stack: tuple[tuple[int, ...], ...], shapes: dict[str, Shape]) -> None:
        for role, shape in shapes.items():
            name = f"{function}.{role}"
            found.append(Stack(name, spec.names[name], stack, shape))

    into, out = (inner, hidden), (hidden, inner)
    attention = {"norm": (hidden,), "q": into, "k": into, "v": into, "o": out}
    network = {"up": (spec.intermediate, hidden), "down": (hidden, spec.intermediate)}
    for side, layers in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        add(side, (tuple(range(len(layers))),), attention)
        if side == "decoder":
            add("cross", (tuple(range(len(layers))),), attention)
        dense, sparse = (tuple(at for at, has in enumerate(layers) if has == kind) for kind in (False, True))
        if dense:
            add(f"{side}_dense", (dense,), {"norm": (hidden,)} | network)
        if sparse:
            add(f"{side}_sparse", (sparse,), {"norm": (hidden,), "router": (spec.experts, hidden)})
            add(f"{side}_sparse", (sparse, tuple(range(spec.experts))), network)
    return found


def buckets(spec: EncoderDecoder, bidirectional: bool) -> list[int]:
    """Which bias belongs to each distance from -max_distance to max_distance.

    Half of the buckets are for one distance each, the others for ranges that grow with the distance's logarithm; in an
    encoder either sign has half of them. Rounds as ``_relative_position_bucket`` of transformers'
    ``modeling_switch_transformers.py`` does.
    """
    distance = np.arange(-spec.max_distance, spec.max_distance + 1)
    count = spec.buckets // 2 if bidirectional else spec.buckets
    base = np.where(distance > 0, count, 0) if bidirectional else 0
    distance = np.abs(distance) if bidirectional else np.maximum(-distance, 0)
    exact = count // 2
    steps = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    steps = steps / np.float32(np.log(spec.max_distance / exact)) * np.float32(count - exact)
    far = np.minimum(exact + steps.astype(np.int64), count - 1)
    return (base + np.where(distance < exact, distance, far)).tolist()
