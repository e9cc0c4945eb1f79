# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the pages of the families share: the parts of a decoder as most families spell them in config.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from moec.hf.config import Config
from moec.hf.names import DECODER, LAYER, block_names
from moec.hf.rope import read_rope, read_ropes, read_yarn_magnitude
from moec.hf.spec import Attention, Dense, Glu, Groups, Latent, Layer, Network, Norm, Router, Shared, Sparse, Spec
from moec.hf.weights import Fused


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


def read_latent(
    config: Config, theta: float = 1e4, interleaved: bool | None = None, known: Sequence[str] = ()
) -> Latent:
    """Latent attention.

    Parameters
    ----------
    theta, known
        As in `read_rope`.
    interleaved : bool or None
        As in `Rope`; None is what ``rope_interleave`` says.
    """
    heads = config.integer("num_attention_heads")
    config.only("num_key_value_heads", heads)
    nope_dim, rope_dim = config.integer("qk_nope_head_dim"), config.integer("qk_rope_head_dim")
    config.only("qk_head_dim", nope_dim + rope_dim)
    config.ignore("head_dim")  # one of these, which one depends on the version of transformers
    if interleaved is None:
        interleaved = config.flag("rope_interleave", True)
    max_len = config.integer("max_position_embeddings")
    rope = read_rope(config, rope_dim, max_len, theta, None, interleaved, known=known)
    return Latent(
        heads=heads,
        q_rank=config.integer("q_lora_rank", None),
        rank=config.integer("kv_lora_rank"),
        nope_dim=nope_dim,
        v_dim=config.integer("v_head_dim"),
        rope=rope,
        scale=(nope_dim + rope_dim) ** -0.5 * read_yarn_magnitude(config) ** 2,
        bias=config.flag("attention_bias", False),
        eps=1e-6,
    )


def latent_names(latent: Latent, module: str = "self_attn.") -> dict[str, str | Fused]:
    """Tensor names of latent attention; one tensor has the projections of all heads to keys and values."""
    stride, attention = latent.nope_dim + latent.v_dim, LAYER + module
    name, shape = attention + "kv_b_proj.weight", (latent.heads * stride, latent.rank)
    return {
        "q_a": attention + "q_a_proj.weight",
        "q_a_norm": attention + "q_a_layernorm.weight",
        "q_b": attention + "q_b_proj.weight",
        "kv_a": attention + "kv_a_proj_with_mqa.weight",
        "kv_a_norm": attention + "kv_a_layernorm.weight",
        "k_b": Fused(name, shape, f"e * {stride} + i, o"),
        "v_b": Fused(name, shape, f"e * {stride} + o + {latent.nope_dim}, i"),
    }


def read_biases(config: Config, projections: str, key: str = "attention_bias", default: bool = False) -> str:
    """The projections, of q, k, v and o, if a key says that they add biases."""
    return projections if config.flag(key, default) else ""


def read_count(config: Config, *keys: str) -> int:
    """A number with several names, which must not disagree."""
    named = next((key for key in keys if config.integer(key, None)), keys[-1])
    count = config.integer(named)
    for key in keys:
        config.only(key, count)
    return count


def read_sparse(
    config: Config,
    router: Router,
    intermediate: str = "moe_intermediate_size",
    experts: Iterable[str] = ("num_local_experts", "num_experts"),
    top_k: str = "num_experts_per_tok",
    shared: Shared | None = None,
    glu: Glu = Glu(),
    **switches: Any,
) -> Sparse:
    """Experts of one size, under the names of keys that a family has for them."""
    count, chosen = read_count(config, *experts), config.integer(top_k)
    groups = router.groups
    limit = count if groups is None else count // groups.count * groups.keep
    if chosen > limit:
        config.refuse(top_k, f"at most the number of experts ({limit})")
    if groups and (count % groups.count or groups.by > count // groups.count):
        config.refuse("n_group", f"groups of equal size, of at least {groups.by} of the {count} experts")
    return Sparse(config.integer(intermediate), count, chosen, router, glu, shared, **switches)


def read_correcting_router(
    config: Config, norm: bool = True, scale: float = 1.0, groups: int = 1, keep: int = 1
) -> Router:
    """DeepSeek-V3's router (arXiv:2412.19437): sigmoid scores, a correction of the choice, and a scale.

    Parameters
    ----------
    norm, scale, groups, keep
        What the family does where the keys do not say.
    """
    config.ignore("aux_loss_alpha", "seq_aux", "ep_size", "pretraining_tp")  # of training and of its machines
    config.only("moe_layer_freq", 1)
    config.only("scoring_func", "sigmoid")
    config.only("topk_method", "noaux_tc")
    count, keep = config.integer("n_group", groups), config.integer("topk_group", keep)
    if keep > count:
        config.refuse("topk_group", f"at most n_group ({count})")
    return Router(
        score="sigmoid",
        correction=True,
        groups=Groups(count, keep, by=2, fill="neg_inf") if count > 1 else None,
        norm=config.flag("norm_topk_prob", norm),
        plus=1e-20,
        scale=config.number("routed_scaling_factor", scale),
    )


def read_shared(
    config: Config, count: str = "n_shared_experts", default: int | None = None, bias: bool = False
) -> Shared | None:
    """Experts that all tokens visit, as one network."""
    number = config.integer(count, default, minimum=0)
    return Shared(Dense(config.integer("moe_intermediate_size") * number, bias=bias)) if number else None


def depths(config: Config) -> range:
    """Numbers of the layers."""
    return range(config.integer("num_hidden_layers"))


def read_types(config: Config, key: str, default: Any, choices: Iterable[str] = ("dense", "sparse")) -> list[str]:
    """A word for each layer; `default` says it for a layer's number where config.json names none."""
    return config.words(key, tuple(choices), len(depths(config)), default)


def read_windows(
    config: Config, full: Attention, slides: Callable[[int], bool], window: int, full_rope: bool = True
) -> list[Attention]:
    """The attention of each layer where some see a window and the others everything.

    Parameters
    ----------
    full : Attention
        Of the layers that see everything.
    slides : callable
        Says for a layer's number whether it has a window, where ``layer_types`` does not.
    window : int
        Its size where ``sliding_window`` does not say.
    full_rope : bool
        Whether positions are encoded in the layers that see everything too.
    """
    has_window = not config.is_null("sliding_window")
    choices = ("full_attention", "sliding_attention")
    types = read_types(config, "layer_types", lambda depth: choices[has_window and slides(depth)], choices)
    if not has_window and ("sliding_attention" in types or not full_rope):
        config.refuse("sliding_window", "an integer of at least 1")
    kinds = {"full_attention": full if full_rope else dataclasses.replace(full, rope=None)}
    if "sliding_attention" in types:
        kinds["sliding_attention"] = dataclasses.replace(full, window=config.integer("sliding_window", window))
    config.ignore("sliding_window")
    return [kinds[type] for type in types]


def read_rope_layers(
    config: Config,
    ropes: dict[str, dict[str, Any]],
    partial: float | None,
    head_dim: int,
    window: int,
    slides: Callable[[int], bool] = lambda depth: False,
    **switches: Any,
) -> list[Attention]:
    """The attention of each layer where each type of layer has its own rotary embedding, and the sliding ones a window.

    Parameters
    ----------
    ropes, partial
        As `default` and `partial` in `read_ropes`.
    window : int
        Size of the window where ``sliding_window`` does not say.
    slides
        As in `read_windows`.
    switches
        Further fields of `Attention`.
    """
    heads, kv_heads, head_dim = read_heads(config, head_dim)
    read = read_ropes(config, head_dim, config.integer("max_position_embeddings"), ropes, partial)
    if config.is_null("sliding_window"):
        config.refuse("sliding_window", "an integer of at least 1")
    windows = {"full_attention": None, "sliding_attention": config.integer("sliding_window", window)}
    kinds = {
        type: Attention(heads, kv_heads, head_dim, rope, window=windows[type], **switches)
        for type, rope in read.items()
    }
    choices = tuple(windows)
    return [
        kinds[type] for type in read_types(config, "layer_types", lambda depth: choices[bool(slides(depth))], choices)
    ]


def read_first_dense(config: Config, sparse: Sparse, default: int, key: str = "first_k_dense_replace") -> list[Network]:
    """The network of each layer where the first ones are dense."""
    first, dense = config.integer(key, default, minimum=0), Dense(config.integer("intermediate_size"))
    return [dense if depth < first else sparse for depth in depths(config)]


def read_networks(config: Config, sparse: Sparse, first: int, bias: bool = False) -> list[Network]:
    """The network of each layer where ``mlp_layer_types`` says which are dense; if not, the first ones are."""
    networks = {"dense": Dense(config.integer("intermediate_size"), bias=bias), "sparse": sparse}
    types = read_types(config, "mlp_layer_types", lambda depth: "dense" if depth < first else "sparse", networks)
    return [networks[type] for type in types]


def following_layers(config: Config) -> str:
    """Pattern of the tensors of layers after the last, which only guess several tokens at once."""
    first, count = len(depths(config)), config.integer("num_nextn_predict_layers", 1, minimum=0)
    numbers = "|".join(map(str, range(first, first + max(count, 1))))
    return rf"model\.layers\.({numbers})\..*"


def read_sparse_steps(config: Config) -> list[bool]:
    """Whether each layer has experts: every n-th, but those that are listed."""
    step, only_dense = config.integer("decoder_sparse_step", 1), config.integers("mlp_only_layers")
    return [depth not in only_dense and (depth + 1) % step == 0 for depth in depths(config)]


def read_fp8(config: Config) -> None:
    """The one way to store matrices in 8 bits that is known, DeepSeek-V3's; which ones the weights' files say.

    How models are trained to round their activations does not matter: these are not rounded.
    """
    quantization = config.table("quantization_config")
    if quantization is None:
        return
    quantization.choice("quant_method", "fp8")
    quantization.choice("fmt", "e4m3")
    quantization.choice("activation_scheme", "dynamic")
    quantization.choice("weight_block_size", [128, 128])
    quantization.ignore(
        "modules_to_not_convert", "dequantize", "scale_fmt"
    )  # seen in the files; how scales were chosen
    quantization.finish()


def decoder(
    config: Config,
    layers: Iterable[Layer],
    norm: Norm | None = None,
    names: dict[str, str] | None = None,
    block: str = LAYER + "mlp",
    eps: float = 1e-6,
    tied: bool = False,
    fp8: bool = True,
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
    fp8 : bool
        Whether ``quantization_config`` may say that matrices have 8 bits; if not, the family has read it.
    switches
        Further fields of `Spec`.
    """
    layers = tuple(layers)
    lengths = [layer.attention.rope.max_len for layer in layers if layer.attention.rope]
    config.ignore("attention_dropout")  # only in training
    config.only("hidden_act", "silu")
    if fp8:
        read_fp8(config)
    return Spec(
        architecture=config.word("model_type"),
        vocab=config.integer("vocab_size"),
        hidden=config.integer("hidden_size"),
        layers=layers,
        max_len=min([config.integer("max_position_embeddings"), *filter(None, lengths)]),
        norm=norm or Norm(config.number("rms_norm_eps", eps)),
        tied=config.flag("tie_word_embeddings", tied),
        dtype=config.word("dtype", config.word("torch_dtype", None)),
        names=DECODER | block_names(block) | (names or {}),
        block=block,
        **switches,
    )
