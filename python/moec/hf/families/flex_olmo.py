# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""FlexOlmo (arXiv:2507.07024)."""

from moec.hf.config import Config
from moec.hf.names import POST_NORMS
from moec.hf.readers import decoder, depths, read_attention, read_biases, read_sparse
from moec.hf.spec import POST, Layer, Router, Spec


def spec(config: Config) -> Spec:
    attention = read_attention(config, 5e5, biases=read_biases(config, "qkvo"), qk_norm="projection")
    ffn = read_sparse(config, Router(norm=config.flag("norm_topk_prob", False)), "intermediate_size")
    return decoder(config, [Layer(attention, ffn, POST) for _ in depths(config)], names=POST_NORMS)
