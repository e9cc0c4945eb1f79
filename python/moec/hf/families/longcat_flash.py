# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LongCat-Flash (arXiv:2509.01322).

The class of transformers has weights for experts that return their input, and never reads them; they are ignored. It
also ignores the router's bias, which is refused.
"""

import dataclasses

from moec.hf.config import Config
from moec.hf.names import DECODER, LAYER
from moec.hf.readers import decoder, depths, latent_names, read_latent, read_sparse
from moec.hf.spec import Dense, Latent, Layer, Router, Spec
from moec.hf.weights import Fused

_OWN = {"num_hidden_layers": "num_layers", "num_experts_per_tok": "moe_topk"}


def spec(config: Config) -> Spec:
    config.rename(_OWN)
    config.only("router_bias", False)
    config.only("zero_expert_type", "identity")
    latent, hidden = read_latent(config, 1e7, interleaved=True), config.integer("hidden_size")
    scale = latent.scale * (hidden / latent.q_rank) ** 0.5
    latent = dataclasses.replace(latent, scale=scale, factor=(hidden / latent.rank) ** 0.5)
    router = Router(correction=True, scale=config.number("routed_scaling_factor", 6.0))
    identities = config.integer("zero_expert_num", 256, minimum=0)
    sparse = read_sparse(config, router, "expert_ffn_hidden_size", ["n_routed_experts"])
    sparse, dense = dataclasses.replace(sparse, identities=identities), Dense(config.integer("ffn_hidden_size"))
    layer = Layer(latent, dense, shortcut=sparse, then=Layer(latent, dense))
    idle = "|".join(map(str, range(sparse.experts, sparse.experts + identities)))
    unused = rf"model\.mtp\..*|model\.layers\.\d+\.mlp\.experts\.({idle})\..*"
    return decoder(config, [layer for _ in depths(config)], names=_names(latent), eps=1e-5, unused=unused)


def _names(latent: Latent) -> dict[str, str | Fused]:
    """Both layers of a layer in transformers have their numbers behind those of that layer."""
    names: dict[str, str | Fused] = {
        "router": LAYER + "mlp.router.classifier.weight",
        "correction": LAYER + "mlp.router.e_score_correction_bias",
    }
    for number, prefix in enumerate(("", "then_")):
        own = (
            DECODER
            | latent_names(latent, f"self_attn.{number}.")
            | {
                "attn_norm": f"{LAYER}input_layernorm.{number}.weight",
                "ffn_norm": f"{LAYER}post_attention_layernorm.{number}.weight",
                "o": f"{LAYER}self_attn.{number}.o_proj.weight",
            }
        )
        own |= {f"dense_{part}": f"{LAYER}mlps.{number}.{part}_proj.weight" for part in ("gate", "up", "down")}
        names |= {prefix + role: name for role, name in own.items()}
    return names
