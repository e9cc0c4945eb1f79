# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Qwen3 with experts (arXiv:2505.09388)."""

from moec.hf.config import Config
from moec.hf.readers import decoder, read_attention, read_biases, read_sparse, read_sparse_steps
from moec.hf.spec import Dense, Layer, Router, Spec


def spec(config: Config) -> Spec:
    config.ignore("max_window_layers")  # transformers gives all layers the same window
    for key, value in {"qkv_bias": False, "use_qk_norm": True, "shared_expert_intermediate_size": 0}.items():
        config.only(key, value)  # in published files, though the architecture has no such switch
    window = config.integer("sliding_window", 4096)
    if not config.flag("use_sliding_window", False) or config.is_null("sliding_window"):
        window = None
    biases, head_dim = read_biases(config, "qkvo"), config.integer("head_dim", None)
    attention = read_attention(config, 1e4, head_dim, biases=biases, qk_norm="head", window=window)
    sparse = read_sparse(config, Router(norm=config.flag("norm_topk_prob", False)))
    dense = Dense(config.integer("intermediate_size"))
    layers = [Layer(attention, sparse if has_experts else dense) for has_experts in read_sparse_steps(config)]
    return decoder(config, layers)
