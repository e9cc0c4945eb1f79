# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""OLMoE (arXiv:2409.02060)."""

from moec.hf.config import Config
from moec.hf.readers import decoder, depths, read_attention, read_biases, read_sparse
from moec.hf.spec import Layer, Router, Spec


def spec(config: Config) -> Spec:
    biases, clip = read_biases(config, "qkvo"), config.number("clip_qkv", None)
    attention = read_attention(config, 1e4, biases=biases, qk_norm="projection", clip=clip)
    ffn = read_sparse(config, Router(norm=config.flag("norm_topk_prob", False)), "intermediate_size")
    return decoder(config, [Layer(attention, ffn) for _ in depths(config)], eps=1e-5)
