# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GLM-4.5 (arXiv:2508.06471)."""

from moec.hf.config import Config
from moec.hf.readers import (
    decoder,
    following_layers,
    read_attention,
    read_biases,
    read_correcting_router,
    read_first_dense,
    read_shared,
    read_sparse,
)
from moec.hf.spec import Layer, Spec


def spec(config: Config) -> Spec:
    config.ignore("num_mtp_layers")  # only to guess several tokens at once
    norm = "head" if config.flag("use_qk_norm", False) else None
    biases, head_dim = read_biases(config, "qkv"), config.integer("head_dim", None)
    attention = read_attention(config, 1e4, head_dim, 0.5, biases=biases, qk_norm=norm)
    router, shared = read_correcting_router(config), read_shared(config, default=1)
    sparse = read_sparse(config, router, experts=["n_routed_experts"], shared=shared)
    layers = [Layer(attention, ffn) for ffn in read_first_dense(config, sparse, 1)]
    return decoder(config, layers, eps=1e-5, unused=following_layers(config))
