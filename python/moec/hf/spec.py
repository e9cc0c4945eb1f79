# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a decoder computes, independent of how its family spells it in config.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from moec.hf.weights import Fused


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding of the first ``dim`` channels of each head.

    Attributes
    ----------
    inv_freq : tuple of float, length dim / 2
        Angle per position, in radians.
    factor : float
        What cosine and sine are multiplied by.
    interleaved : bool
        Whether channels 2i and 2i + 1 are rotated against each other; else i and i + dim / 2.
    max_len : int or None
        Length of the longest text that the angles are right for; None is any.
    """

    inv_freq: tuple[float, ...]
    factor: float = 1.0
    interleaved: bool = False
    max_len: int | None = None

    @property
    def dim(self) -> int:
        return 2 * len(self.inv_freq)


@dataclass(frozen=True)
class Norm:
    """Normalisation of a layer's input or output.

    Attributes
    ----------
    eps : float
        Added to the mean square.
    center : bool
        Whether the mean is subtracted first (layer norm); else this is the RMS norm.
    bias : bool
        Whether one is added at the end.
    """

    eps: float
    center: bool = False
    bias: bool = False


@dataclass(frozen=True)
class Temperature:
    """Queries that grow with their position (arXiv:2501.19399).

    At position p they are multiplied by 1 + scale log(1 + floor((p + first) / period)).
    """

    scale: float
    period: int
    first: int = 0


@dataclass(frozen=True)
class Attention:
    """Grouped-query attention: query head h reads key and value head h / (heads / kv_heads).

    Attributes
    ----------
    rope : Rope or None
        None where positions are not encoded.
    biases : str
        Those of the projections q, k, v, o that add one.
    qk_norm : str or None
        What the RMS norms of query and key span: a ``"head"``, a ``"plain head"`` without a weight, the whole
        ``"projection"``, or None.
    norm_after_rope : bool
        Whether these norms follow the rotation.
    clip : float or None
        Bound on the absolute value of query, key and value after their norms.
    scale : float or None
        What scores are multiplied by; None is head_dim**-0.5.
    window : int or None
        Number of positions a query sees, itself included; None is all of them.
    chunk : int or None
        Length of the parts of a sequence that do not see each other; None is all of it.
    softcap : float or None
        Bound c on the scores: they become c tanh(score / c).
    v_dim : int or None
        Channels per head of values; None is head_dim.
    v_scale : float
        What values are multiplied by.
    v_norm : bool
        Whether values of a head pass an RMS norm without weight.
    v_of_k : bool
        Whether values are projected as keys are, by the same weights.
    sinks : bool
        Whether each query head has a logit that joins its softmax and has no value.
    gate : str or None
        ``"sigmoid"`` or ``"softplus"`` of another projection of the input, by which attended values are multiplied.
    gate_per_head : bool
        Whether the gate has one value for each head; else one for each channel.
    temperature : Temperature or None
    """

    heads: int
    kv_heads: int
    head_dim: int
    rope: Rope | None
    biases: str = ""
    qk_norm: str | None = None
    norm_after_rope: bool = False
    clip: float | None = None
    scale: float | None = None
    window: int | None = None
    chunk: int | None = None
    softcap: float | None = None
    v_dim: int | None = None
    v_scale: float = 1.0
    v_norm: bool = False
    v_of_k: bool = False
    sinks: bool = False
    gate: str | None = None
    gate_per_head: bool = False
    temperature: Temperature | None = None

    @property
    def caches(self) -> dict[str, tuple[int, int]]:
        """Heads and channels of what is kept of each position."""
        return dict.fromkeys(("k_cache", "v_cache"), (self.kv_heads, self.head_dim))


@dataclass(frozen=True)
class Latent:
    """Latent attention (arXiv:2405.04434): keys and values of all heads are projections of one vector per position.

    That vector and one rotated key for all heads are what is cached.

    Attributes
    ----------
    q_rank : int or None
        Width of the vector that queries are projections of; None is the layer's input itself.
    rank : int
        Width of the vector that keys and values are projections of.
    nope_dim, v_dim : int
        Channels per head of keys without the rotated ones, and of values.
    rope : Rope
        Of the further channels of query and key.
    scale : float
        What scores are multiplied by.
    bias : bool
        Whether the projections of the layer's input to those vectors, and the output projection, add one.
    eps : float
        Of the norms of those vectors.
    factor : float
        What the vector of keys and values is multiplied by after its norm.
    temperature : Temperature or None
    """

    heads: int
    q_rank: int | None
    rank: int
    nope_dim: int
    v_dim: int
    rope: Rope
    scale: float
    bias: bool
    eps: float
    factor: float = 1.0
    temperature: Temperature | None = None

    @property
    def caches(self) -> dict[str, tuple[int, int]]:
        """Heads and channels of what is kept of each position."""
        return {"latent_cache": (1, self.rank + self.rope.dim)}


@dataclass(frozen=True)
class Glu:
    """A gated activation, as `moe.glu` has it: act(gate) * (up + offset) in f32.

    Attributes
    ----------
    kind : str
        ``"swiglu"``, ``"geglu"``, ``"geglu_tanh"``, ``"reglu"``.
    alpha : float or None
        What the gate is multiplied by inside the sigmoid; None is 1.
    limit : float or None
        Upper bound on gate, and bound on the absolute value of up.
    """

    kind: str = "swiglu"
    alpha: float | None = None
    offset: float = 0.0
    limit: float | None = None


@dataclass(frozen=True)
class Dense:
    """One gated network for all tokens.

    Attributes
    ----------
    bias : bool
        Whether its three projections add one.
    """

    intermediate: int
    glu: Glu = Glu()
    bias: bool = False


@dataclass(frozen=True)
class Groups:
    """Experts in groups of equal size, of which only the best are searched.

    Attributes
    ----------
    count, keep : int
        Number of groups, and of those that are searched.
    by : int
        A group's score is the sum of this many of its largest keys.
    fill : str
        Key of experts in other groups: ``"neg_inf"`` or ``"zero"``.
    """

    count: int
    keep: int
    by: int
    fill: str


@dataclass(frozen=True)
class Router:
    """From the router's logits to a token's experts and their weights.

    Attributes
    ----------
    score : str
        Function of the logits, as `moe.score` has it.
    select_logits : bool
        Whether the largest logits are chosen; else the largest scores.
    bias : bool
        Whether the product that makes the logits adds one.
    scaled_input : bool
        Whether it reads the residual stream, RMS-normalised, times a vector and hidden**-0.5; else what experts read.
    softcap : float or None
        Bound c on the logits: they become c tanh(logit / c).
    correction : bool
        Whether a bias is added to the scores for the choice alone.
    correction_row : bool
        Whether that bias is stored as a matrix of one row.
    groups : Groups or None
    norm : bool
        Whether the k weights of a token are divided by their sum.
    sparsemixer : float or None
        If given, the weight of a chosen expert is its part of the softmax over those that are not chosen before it and
        whose logits are within this fraction of its own (arXiv:2409.12136).
    plus, at_least : float
        Added to that sum; lower bound on it.
    scale : float
        What the weights are multiplied by in the end.
    expert_scale : bool
        Whether each is also multiplied by a number that its expert has.
    """

    score: str = "softmax"
    select_logits: bool = False
    bias: bool = False
    scaled_input: bool = False
    softcap: float | None = None
    correction: bool = False
    correction_row: bool = False
    groups: Groups | None = None
    norm: bool = False
    sparsemixer: float | None = None
    plus: float = 0.0
    at_least: float = 0.0
    scale: float = 1.0
    expert_scale: bool = False


@dataclass(frozen=True)
class Shared:
    """A network for all tokens beside the experts; the results are added.

    Attributes
    ----------
    gated : bool
        Whether its result is multiplied by the sigmoid of one number per token.
    average : bool
        Whether the sum with the experts' result is halved.
    apart : bool
        Whether the experts read the residual stream through a norm of their own, and both results pass one.
    """

    network: Dense
    gated: bool = False
    average: bool = False
    apart: bool = False


@dataclass(frozen=True)
class Sparse:
    """Top-k of many gated networks.

    Attributes
    ----------
    intermediate : int
        Width of one expert.
    bias : bool
        Whether the three projections of each expert add one.
    weigh_input : bool
        Whether an expert's input is multiplied by its weight; else its result.
    out_bias : bool
        Whether one is added to the weighted sum.
    identities : int
        Further experts, after the others, whose results are their inputs.
    """

    intermediate: int
    experts: int
    top_k: int
    router: Router = Router()
    glu: Glu = Glu()
    shared: Shared | None = None
    bias: bool = False
    weigh_input: bool = False
    out_bias: bool = False
    identities: int = 0


Network = Union[Dense, Sparse]


@dataclass(frozen=True)
class Mixture:
    """Attention whose projections to queries and from values are experts (arXiv:2404.07413).

    Each of the k experts of a token has a query for each head of keys, and turns what these attend to into a result.

    Attributes
    ----------
    attention : Attention
        Of all queries of a token: its heads are those of keys, k times.
    experts : Sparse
        Whose width is that of one expert's queries; of its networks there is nothing else.
    """

    attention: Attention
    experts: Sparse

    @property
    def rope(self) -> Rope | None:
        return self.attention.rope

    @property
    def caches(self) -> dict[str, tuple[int, int]]:
        """Heads and channels of what is kept of each position."""
        return self.attention.caches


PRE = ("attn_norm", "ffn_norm")
POST = ("attn_post_norm", "ffn_post_norm")


@dataclass(frozen=True)
class Layer:
    """One kind of layer; layers that compare equal differ only in their weights.

    Attributes
    ----------
    norms : tuple of str
        Roles of those it has: ``"attn_norm"`` and ``"ffn_norm"`` of the input of attention and network,
        ``"attn_post_norm"`` and ``"ffn_post_norm"`` of their results.
    parallel : bool
        Whether attention and network read the same input, normalised once; else the network follows the attention.
    residual : float
        What results are multiplied by before they are added to the residual stream.
    scaled : bool
        Whether the residual stream is multiplied by a number in the end.
    shortcut : Sparse or None
        Experts that read what the network reads, and whose result is added in the end.
    then : Layer or None
        A second layer, with weights of its own, before that end.
    """

    attention: Attention | Latent | Mixture
    ffn: Network
    norms: tuple[str, ...] = PRE
    parallel: bool = False
    residual: float = 1.0
    scaled: bool = False
    shortcut: Sparse | None = None
    then: Layer | None = None

    @property
    def sparse(self) -> Sparse | None:
        """Its experts, wherever they stand."""
        return self.ffn if isinstance(self.ffn, Sparse) else self.shortcut


@dataclass(frozen=True)
class Spec:
    """A whole decoder.

    Attributes
    ----------
    layers : tuple of Layer
        In order of depth.
    max_len : int
        Positions the model was made for.
    norm : Norm
        Of all layers and before the output projection; norms of query and key take its eps.
    tied : bool
        Whether the embedding is also the output projection.
    dtype : str or None
        What config.json says of the weights, e.g. ``"bfloat16"``; a checkpoint's headers overrule it.
    names : dict of str to str or Fused
        Tensor name for each role; ``{0}`` stands for the layer, ``{1}`` for the expert, without which one tensor holds
        all experts. Biases go with their weights.
    block : str
        Name of the module that holds a layer's experts, with ``{0}`` for the layer.
    last_eps : float or None
        That of the norm before the output projection, if it is another one.
    unused : str
        Pattern of tensors that a checkpoint may have and this decoder has no use for; empty is none.
    head_bias : bool
        Whether the output projection adds one.
    embedding_scale, logit_scale : float
        What embeddings and logits are multiplied by.
    softcap : float or None
        Bound c on the logits: they become c tanh(logit / c).
    bos, eos : int or None, tuple of int
        Token ids that begin and end a text.
    tokenizer : bool
        Whether a tokenizer.json lies beside the weights.
    """

    architecture: str
    vocab: int
    hidden: int
    layers: tuple[Layer, ...]
    max_len: int
    norm: Norm
    tied: bool
    dtype: str | None
    names: dict[str, str | Fused]
    block: str
    last_eps: float | None = None
    unused: str = ""
    head_bias: bool = False
    embedding_scale: float = 1.0
    logit_scale: float = 1.0
    softcap: float | None = None
    bos: int | None = None
    eos: tuple[int, ...] = ()
    tokenizer: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """What a caller may want to know, by name."""
        sizes = {"hidden": self.hidden, "layers": len(self.layers)}
        sparse = next((layer.sparse for layer in self.layers if layer.sparse), None)
        return sizes | ({"experts": sparse.experts, "top_k": sparse.top_k} if sparse else {})

    @property
    def kinds(self) -> dict[Layer, tuple[int, ...]]:
        """Each kind of layer with the depths where it stands, in order of first appearance."""
        kinds: dict[Layer, list[int]] = {}
        for depth, layer in enumerate(self.layers):
            kinds.setdefault(layer, []).append(depth)
        return {kind: tuple(depths) for kind, depths in kinds.items()}

    @property
    def ropes(self) -> list[Rope]:
        """The different rotary embeddings of the layers, in order of first appearance."""
        return list(dict.fromkeys(layer.attention.rope for layer in self.layers if layer.attention.rope))
