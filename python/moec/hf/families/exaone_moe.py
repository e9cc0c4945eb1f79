# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""K-EXAONE."""

from moec.hf.config import Config
from moec.hf.names import LAYER
from moec.hf.readers import (
    decoder,
    read_attention,
    read_correcting_router,
    read_networks,
    read_shared,
    read_sparse,
    read_windows,
)
from moec.hf.spec import Layer, Spec


def spec(config: Config) -> Spec:
    full = read_attention(config, 1e4, config.integer("head_dim", None), qk_norm="head")
    pattern = config.integer("sliding_window_pattern", 4)
    attentions = read_windows(config, full, lambda depth: (depth + 1) % pattern != 0, 4096, full_rope=False)
    shared = read_shared(config, "num_shared_experts", 1)
    sparse = read_sparse(config, read_correcting_router(config, scale=2.5), shared=shared)
    layers = map(
        Layer, attentions, read_networks(config, sparse, config.integer("first_k_dense_replace", 1, minimum=0))
    )
    names = {"correction": LAYER + "mlp.e_score_correction_bias"}
    return decoder(config, layers, names=names, eps=1e-5, unused=r"mtp\..*")
