# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""DeepSeek-V3 (arXiv:2412.19437) and, as ``kimi_k2``, Kimi-K2 (arXiv:2507.20534).

DeepSeek's own code excludes the experts of other groups with -inf, as here; some releases of transformers gave them 0.
"""

from moec.hf.config import Config
from moec.hf.readers import (
    decoder,
    following_layers,
    latent_names,
    read_correcting_router,
    read_first_dense,
    read_latent,
    read_shared,
    read_sparse,
)
from moec.hf.spec import Layer, Spec


def spec(config: Config) -> Spec:
    config.ignore("num_mtp_layers")  # only to guess several tokens at once
    latent, router = read_latent(config), read_correcting_router(config, scale=2.5, groups=8, keep=4)
    sparse = read_sparse(config, router, experts=["n_routed_experts"], shared=read_shared(config, default=1))
    layers = [Layer(latent, ffn) for ffn in read_first_dense(config, sparse, 3)]
    return decoder(config, layers, names=latent_names(latent), unused=following_layers(config))
