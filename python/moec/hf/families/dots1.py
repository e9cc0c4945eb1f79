# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dots.llm1 (arXiv:2506.05767)."""

from moec.hf.config import Config
from moec.hf.readers import (
    decoder,
    read_attention,
    read_biases,
    read_correcting_router,
    read_first_dense,
    read_shared,
    read_sparse,
    read_windows,
)
from moec.hf.spec import Layer, Spec


def spec(config: Config) -> Spec:
    head_dim = config.integer("head_dim", None)
    full = read_attention(config, 1e4, head_dim, biases=read_biases(config, "qkvo"), qk_norm="head")
    last = config.integer("max_window_layers", 62, minimum=0)
    attentions = read_windows(config, full, lambda depth: depth >= last, 4096)
    router = read_correcting_router(config, norm=False)
    sparse = read_sparse(config, router, experts=["n_routed_experts"], shared=read_shared(config))
    return decoder(config, map(Layer, attentions, read_first_dense(config, sparse, 0)))
