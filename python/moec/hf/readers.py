# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the pages of the families share: the parts of a decoder as most families spell them in config.json."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moec.hf.config import Config
from moec.hf.names import DECODER, LAYER, block_names
from moec.hf.rope import read_rope
from moec.hf.spec import Attention, Dense, Groups, Layer, Norm, Router, Shared, Sparse, Spec


def read_heads(config: Config, head_dim: int | None = None) -> tuple[int, int, int]:
    """Numbers of query heads, of key and value heads, and of channels per head.

    Parameters
    ----------
    head_dim : int or None
        Channels per head; None is hidden_size / num_attention_heads.
    """
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    kv_heads = config.integer("num_key_value_heads", heads)
    if heads % kv_heads:
        config.refuse("num_key_value_heads", f"a divisor of num_attention_heads ({heads})")
    if head_dim is None and hidden % heads:
        config.refuse("num_attention_heads", f"a divisor of hidden_size ({hidden})")
    return heads, kv_heads, head_dim or hidden // heads


def read_attention(
    config: Config,
    theta: float,
    head_dim: int | None = None,
    partial: float | None = None,
    interleaved: bool = False,
    **switches: Any,
) -> Attention:
    """Grouped-query attention with one rotary embedding for all layers.

    Parameters
    ----------
    theta, partial, interleaved
        As in `read_rope`.
    head_dim : int or None
        As in `read_heads`.
    switches
        Further fields of `Attention`.
    """
    heads, kv_heads, head_dim = read_heads(config, head_dim)
    max_len = config.integer("max_position_embeddings")
    rope = read_rope(config, head_dim, max_len, theta, partial, interleaved)
    return Attention(heads, kv_heads, head_dim, rope, **switches)


def read_biases(config: Config, projections: str, key: str = "attention_bias", default: bool = False) -> str:
    """The projections, of q, k, v and o, if a key says that they add biases."""
    return projections if config.flag(key, default) else ""


def read_count(config: Config, *keys: str, default: int | None = None) -> int:
    """A number with several names, which must not disagree."""
    found = next((number for key in keys if (number := config.integer(key, None))), default)
    for key in keys:
        config.only(key, found) if found else config.integer(key)
    return found


def read_sparse(
    config: Config,
    router: Router,
    intermediate: str = "moe_intermediate_size",
    experts: Iterable[str] = ("num_local_experts", "num_experts"),
    top_k: str = "num_experts_per_tok",
    shared: Shared | None = None,
) -> Sparse:
    """Experts of one size, under the names of keys that a family has for them."""
    count, chosen = read_count(config, *experts), config.integer(top_k)
    groups = router.groups
    limit = count if groups is None else count // groups.count * groups.keep
    if chosen > limit:
        config.refuse(top_k, f"at most the number of experts ({limit})")
    if groups and (count % groups.count or groups.by > count // groups.count):
        config.refuse("n_group", f"groups of equal size, of at least {groups.by} of the {count} experts")
    return Sparse(config.integer(intermediate), count, chosen, router, shared=shared)


def read_correcting_router(config: Config, **switches: Any) -> Router:
    """DeepSeek-V3's router (arXiv:2412.19437): sigmoid scores, a correction of the choice, and a scale."""
    config.only("scoring_func", "sigmoid")
    config.only("topk_method", "noaux_tc")
    count, keep = config.integer("n_group", 1), config.integer("topk_group", 1)
    if keep > count:
        config.refuse("topk_group", f"at most n_group ({count})")
    return Router(
        score="sigmoid",
        correction=True,
        groups=Groups(count, keep, by=2, fill="neg_inf") if count > 1 else None,
        norm=config.flag("norm_topk_prob", switches.pop("norm", True)),
        plus=1e-20,
        scale=config.number("routed_scaling_factor", 1.0),
        **switches,
    )


def read_shared(config: Config, count: str = "n_shared_experts", default: int | None = None) -> Shared | None:
    """Experts that all tokens visit, as one network."""
    number = config.integer(count, default, minimum=0)
    return Shared(Dense(config.integer("moe_intermediate_size") * number)) if number else None


def depths(config: Config) -> range:
    """Numbers of the layers."""
    return range(config.integer("num_hidden_layers"))


def read_types(config: Config, key: str, default: Any, choices: Iterable[str] = ("dense", "sparse")) -> list[str]:
    """A word for each layer; `default` says it for a layer's number where config.json names none."""
    return config.words(key, tuple(choices), len(depths(config)), default)


def read_sparse_steps(config: Config) -> list[bool]:
    """Whether each layer has experts: every n-th, but those that are listed."""
    step, only_dense = config.integer("decoder_sparse_step", 1), config.integers("mlp_only_layers")
    return [depth not in only_dense and (depth + 1) % step == 0 for depth in depths(config)]


def decoder(
    config: Config,
    layers: Iterable[Layer],
    norm: Norm | None = None,
    names: dict[str, str] | None = None,
    block: str = LAYER + "mlp",
    eps: float = 1e-6,
    tied: bool = False,
    **switches: Any,
) -> Spec:
    """A decoder around its layers.

    Parameters
    ----------
    norm : Norm or None
        Of all layers; None is the RMS norm with ``rms_norm_eps``, or `eps` where config.json names none.
    names : dict or None
        Tensor names by role, where they are not those of most families.
    block : str
        Name of the module that holds a layer's experts.
    tied : bool
        Whether the embedding is the output projection where config.json does not say.
    switches
        Further fields of `Spec`.
    """
    config.only("attention_dropout", 0)
    return Spec(
        architecture=config.word("model_type"),
        vocab=config.integer("vocab_size"),
        hidden=config.integer("hidden_size"),
        layers=tuple(layers),
        max_len=config.integer("max_position_embeddings"),
        norm=norm or Norm(config.number("rms_norm_eps", eps)),
        tied=config.flag("tie_word_embeddings", tied),
        dtype=config.word("dtype", config.word("torch_dtype", None)),
        names=DECODER | block_names(block) | (names or {}),
        block=block,
        **switches,
    )
