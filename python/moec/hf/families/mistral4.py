# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Mistral 4, the part for text."""

import dataclasses

from moec.hf.config import Config
from moec.hf.names import LAYER, halves
from moec.hf.readers import decoder, latent_names, read_first_dense, read_latent, read_shared, read_sparse
from moec.hf.spec import Groups, Layer, Router, Spec, Temperature


def spec(config: Config) -> Spec:
    config.ignore("pretraining_tp")  # of the machines that it was trained on
    latent = read_latent(config, known=["llama_4_scaling_beta", "max_position_embeddings", "partial_rotary_factor"])
    if rope := config.table("rope_parameters"):
        beta, period = rope.number("llama_4_scaling_beta", None), rope.integer("original_max_position_embeddings", None)
        rope.only("max_position_embeddings", config.integer("max_position_embeddings"))
        width = latent.nope_dim + latent.rope.dim
        if int(width * rope.number("partial_rotary_factor", latent.rope.dim / width)) != latent.rope.dim:
            rope.refuse("partial_rotary_factor", f"{latent.rope.dim} of {width} channels")
        latent = dataclasses.replace(latent, temperature=Temperature(beta, period) if beta else None)
    count, keep = config.integer("n_group", 1), config.integer("topk_group", 1)
    router = Router(
        groups=Groups(count, keep, by=2, fill="zero") if count > 1 else None,
        norm=config.flag("norm_topk_prob", True),
        plus=1e-20,
        scale=config.number("routed_scaling_factor", 1.0),
    )
    sparse = read_sparse(config, router, experts=["n_routed_experts"], shared=read_shared(config, default=1))
    layers = [Layer(latent, ffn) for ffn in read_first_dense(config, sparse, 0)]
    experts = LAYER + "mlp.experts."
    names = halves(experts + "gate_up_proj", sparse.intermediate, config.integer("hidden_size"), sparse.experts)
    return decoder(config, layers, names=latent_names(latent) | names | {"down": experts + "down_proj"})
