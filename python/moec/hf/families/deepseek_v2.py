# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""DeepSeek-V2 (arXiv:2405.04434).

The published code scales the weights only where it does not divide them by their sum; the class of transformers always
scales and never divides. Both agree on published models, which do not divide.
"""

from moec.hf.config import Config
from moec.hf.readers import decoder, latent_names, read_first_dense, read_latent, read_shared, read_sparse
from moec.hf.spec import Groups, Layer, Router, Spec


def spec(config: Config) -> Spec:
    config.ignore("aux_loss_alpha", "seq_aux", "ep_size", "pretraining_tp")  # of training and of its machines
    for key, value in {
        "mlp_bias": False,
        "moe_layer_freq": 1,
        "norm_topk_prob": False,
        "scoring_func": "softmax",
    }.items():
        config.only(key, value)
    latent = read_latent(config, interleaved=True)
    groups = None
    if config.choice("topk_method", "greedy", "group_limited_greedy") == "group_limited_greedy":
        groups = Groups(config.integer("n_group"), config.integer("topk_group"), by=1, fill="zero")
    config.ignore("n_group", "topk_group")
    router = Router(groups=groups, scale=config.number("routed_scaling_factor", 1.0))
    sparse = read_sparse(config, router, experts=["n_routed_experts"], shared=read_shared(config, default=2))
    layers = [Layer(latent, ffn) for ffn in read_first_dense(config, sparse, 0)]
    return decoder(config, layers, names=latent_names(latent))
