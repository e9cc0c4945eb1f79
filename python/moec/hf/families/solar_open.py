# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Solar Open."""

from moec.hf.config import Config
from moec.hf.readers import (
    decoder,
    depths,
    read_attention,
    read_biases,
    read_correcting_router,
    read_shared,
    read_sparse,
)
from moec.hf.spec import Layer, Spec


def spec(config: Config) -> Spec:
    attention = read_attention(config, 1e6, config.integer("head_dim", 128), biases=read_biases(config, "qkv"))
    router, shared = read_correcting_router(config), read_shared(config, default=1)
    ffn = read_sparse(config, router, experts=["n_routed_experts"], shared=shared)
    return decoder(config, [Layer(attention, ffn) for _ in depths(config)], eps=1e-5)
