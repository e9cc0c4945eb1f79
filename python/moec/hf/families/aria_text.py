# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The language model of Aria (arXiv:2410.05993)."""

from moec.hf.config import Config
from moec.hf.names import LAYER
from moec.hf.readers import decoder, depths, read_attention, read_biases, read_sparse
from moec.hf.spec import Dense, Layer, Router, Shared, Spec
from moec.hf.weights import Fused


def spec(config: Config) -> Spec:
    config.ignore("pretraining_tp")
    attention = read_attention(config, 1e4, config.integer("head_dim", None), biases=read_biases(config, "qkvo"))
    width = config.integer("intermediate_size")
    shared = Dense(width * config.integer("moe_num_shared_experts", 2), bias=config.flag("mlp_bias", False))
    ffn = read_sparse(
        config,
        Router(select_logits=True, norm=True),  # the softmax of the chosen logits
        "intermediate_size",
        ["moe_num_experts"],
        "moe_topk",
        Shared(shared),
    )
    block, hidden = LAYER + "mlp.", config.integer("hidden_size")
    fused = block + "experts.fc1.weight", (ffn.experts, hidden, 2 * width)
    names = {
        "router": block + "router.weight",
        "gate": Fused(*fused, "e, i, o"),
        "up": Fused(*fused, f"e, i, o + {width}"),
        "down": Fused(block + "experts.fc2.weight", (ffn.experts, width, hidden), "e, i, o"),
    }
    return decoder(config, [Layer(attention, ffn) for _ in depths(config)], names=names)
