# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A.X K1."""

from moec.hf.config import Config
from moec.hf.names import LAYER
from moec.hf.readers import (
    decoder,
    latent_names,
    read_correcting_router,
    read_first_dense,
    read_latent,
    read_shared,
    read_sparse,
)
from moec.hf.spec import PRE, Layer, Spec


def spec(config: Config) -> Spec:
    latent, router = read_latent(config), read_correcting_router(config, scale=2.5, groups=8, keep=4)
    sparse = read_sparse(config, router, experts=["n_routed_experts"], shared=read_shared(config, default=1))
    networks = read_first_dense(config, sparse, 1)
    layers = [Layer(latent, ffn, (*PRE, "ffn_post_norm") if ffn is sparse else PRE) for ffn in networks]
    names = latent_names(latent) | {"ffn_post_norm": LAYER + "post_mlp_layernorm.weight"}
    return decoder(config, layers, names=names)
