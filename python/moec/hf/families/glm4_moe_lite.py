# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GLM-4.7-Flash."""

from moec.hf.config import Config
from moec.hf.readers import (
    decoder,
    following_layers,
    latent_names,
    read_correcting_router,
    read_latent,
    read_networks,
    read_shared,
    read_sparse,
)
from moec.hf.spec import Layer, Spec


def spec(config: Config) -> Spec:
    latent, router = read_latent(config), read_correcting_router(config, scale=1.8)
    sparse = read_sparse(config, router, experts=["n_routed_experts"], shared=read_shared(config, default=1))
    layers = [Layer(latent, ffn) for ffn in read_networks(config, sparse, 1)]
    return decoder(config, layers, names=latent_names(latent), eps=1e-5, unused=following_layers(config))
