# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One page for each family of models: which keys of config.json it reads and what they switch.

Defaults are those of the family's configuration class in transformers 5.18.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moec.hf.config import Config
from moec.hf.generation import read_ends
from moec.hf.names import DECODER, LAYER, experts
from moec.hf.rope import read_rope
from moec.hf.spec import Attention, Dense, Layer, Sparse, Spec

# Training, bookkeeping, and outputs that only a framework has.
_IGNORED = (
    "architectures auto_map chunk_size_feed_forward id2label initializer_range is_encoder_decoder label2id model_type "
    "output_attentions output_hidden_states output_router_logits pad_token_id problem_type return_dict "
    "router_aux_loss_coef transformers_version use_cache _name_or_path"
).split()


def read_spec(folder: Path) -> Spec:
    """What the checkpoint in a folder computes, from its config.json and generation_config.json.

    Raises
    ------
    Error
        If a key or a value is not supported.
    """
    config = Config.load(folder / "config.json")
    family = config.word("model_type")
    if family not in _PAGES:
        config.refuse("model_type", "one of " + ", ".join(_PAGES))
    spec = _PAGES[family](config, folder)
    config.ignore(*_IGNORED)
    config.finish()
    return spec


def _olmoe(config: Config, folder: Path) -> Spec:
    """OLMoE (arXiv:2409.02060)."""
    bias, clip = config.flag("attention_bias", False), config.number("clip_qkv", None)
    attention = _attention(config, bias=bias, qk_norm="projection", clip=clip)
    ffn = _sparse(config, "intermediate_size", config.flag("norm_topk_prob", False))
    layers = [Layer(attention, ffn)] * config.integer("num_hidden_layers")
    block = LAYER + "mlp"
    names = DECODER | experts(block, "gate_proj", "up_proj", "down_proj")
    return _decoder(config, folder, layers, theta=1e4, eps=1e-5, names=names, block=block)


def _mixtral(config: Config, folder: Path) -> Spec:
    """Mixtral (arXiv:2401.04088)."""
    config.ignore("router_jitter_noise")  # only in training
    window = config.integer("sliding_window", None)
    attention = _attention(config, config.integer("head_dim", None), window=window)
    ffn = _sparse(config, "intermediate_size", normalize=True)
    layers = [Layer(attention, ffn)] * config.integer("num_hidden_layers")
    block = LAYER + "block_sparse_moe"
    names = DECODER | experts(block, gate="w1", up="w3", down="w2")
    return _decoder(config, folder, layers, theta=1e6, eps=1e-5, names=names, block=block)


def _qwen3_moe(config: Config, folder: Path) -> Spec:
    """Qwen3 with experts (arXiv:2505.09388)."""
    config.ignore("max_window_layers")  # transformers gives all layers the same window
    for key, value in {"qkv_bias": False, "use_qk_norm": True, "shared_expert_intermediate_size": 0}.items():
        config.only(key, value)  # in published files, though the architecture has no such switch
    window = config.integer("sliding_window", 4096)
    if not config.flag("use_sliding_window", False):
        window = None
    bias, head_dim = config.flag("attention_bias", False), config.integer("head_dim", None)
    attention = _attention(config, head_dim, bias=bias, qk_norm="head", window=window)
    sparse = Layer(attention, _sparse(config, "moe_intermediate_size", config.flag("norm_topk_prob", False)))
    dense = Layer(attention, Dense(config.integer("intermediate_size")))
    only_dense, step = config.integers("mlp_only_layers"), config.integer("decoder_sparse_step", 1)
    layers = [
        dense if depth in only_dense or (depth + 1) % step else sparse
        for depth in range(config.integer("num_hidden_layers"))
    ]
    block = LAYER + "mlp"
    names = DECODER | experts(block, "gate_proj", "up_proj", "down_proj")
    return _decoder(config, folder, layers, theta=1e4, eps=1e-6, names=names, block=block)


_PAGES = {"olmoe": _olmoe, "mixtral": _mixtral, "qwen3_moe": _qwen3_moe}


def _attention(config: Config, head_dim: int | None = None, **switches: Any) -> Attention:
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    kv_heads = config.integer("num_key_value_heads", heads)
    if heads % kv_heads:
        config.refuse("num_key_value_heads", f"a divisor of num_attention_heads ({heads})")
    if head_dim is None and hidden % heads:
        config.refuse("num_attention_heads", f"a divisor of hidden_size ({hidden})")
    return Attention(heads, kv_heads, head_dim or hidden // heads, **switches)


def _sparse(config: Config, intermediate: str, normalize: bool) -> Sparse:
    count = config.integer("num_local_experts", None) or config.integer("num_experts")
    config.only("num_experts", count)
    top_k = config.integer("num_experts_per_tok")
    if top_k > count:
        config.refuse("num_experts_per_tok", f"at most the number of experts ({count})")
    return Sparse(config.integer(intermediate), count, top_k, normalize)


def _decoder(config: Config, folder: Path, layers: list[Layer], theta: float, eps: float, **names: Any) -> Spec:
    """What all families share: embedding, RMS norms, rotary positions, causal attention, SwiGLU, output projection."""
    config.only("hidden_act", "silu")
    config.only("attention_dropout", 0)
    max_len = config.integer("max_position_embeddings")
    torch_dtype = config.word("torch_dtype", None)
    bos, eos = read_ends(folder, config)
    return Spec(
        architecture=config.word("model_type"),
        vocab=config.integer("vocab_size"),
        hidden=config.integer("hidden_size"),
        layers=tuple(layers),
        rope=read_rope(config, layers[0].attention.head_dim, max_len, theta),
        max_len=max_len,
        eps=config.number("rms_norm_eps", eps),
        tied=config.flag("tie_word_embeddings", False),
        dtype=config.word("dtype", torch_dtype),
        bos=bos,
        eos=eos,
        tokenizer=(folder / "tokenizer.json").exists(),
        **names,
    )
