# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Qwen2 with experts (arXiv:2407.10671)."""

from moec.hf.config import Config
from moec.hf.names import LAYER, block_names
from moec.hf.readers import decoder, read_attention, read_biases, read_sparse, read_sparse_steps, read_windows
from moec.hf.spec import Dense, Layer, Router, Shared, Spec


def spec(config: Config) -> Spec:
    full = read_attention(config, 1e4, biases=read_biases(config, "qkv", "qkv_bias", True))
    last = config.integer("max_window_layers", 28, minimum=0)
    sliding = config.flag("use_sliding_window", False)
    attentions = read_windows(config, full, lambda depth: sliding and depth % 2 == 0 and depth < last, 4096)
    shared = Shared(Dense(config.integer("shared_expert_intermediate_size", 5632)), gated=True)
    sparse = read_sparse(config, Router(norm=config.flag("norm_topk_prob", False)), shared=shared)
    dense = Dense(config.integer("intermediate_size"))
    layers = [
        Layer(a, sparse if has_experts else dense) for a, has_experts in zip(attentions, read_sparse_steps(config))
    ]
    names = block_names(shared="shared_expert") | {"shared_router": LAYER + "mlp.shared_expert_gate.weight"}
    return decoder(config, layers, names=names)
