# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Hunyuan-A13B.

The first Hunyuan classes dropped tokens over a capacity; transformers 5.18 drops none, as here.
"""

from moec.hf.config import Config
from moec.hf.names import LAYER, block_names
from moec.hf.readers import decoder, depths, read_attention, read_biases, read_sparse
from moec.hf.spec import Dense, Layer, Router, Shared, Spec


def spec(config: Config) -> Spec:
    config.ignore("eod_token_id", "sep_token_id", "pretraining_tp")
    head_dim, biases = config.integer("head_dim", None), read_biases(config, "qkvo")
    attention = read_attention(config, 1e4, head_dim, biases=biases, qk_norm="head", norm_after_rope=True)
    shared = Shared(Dense(config.integer("intermediate_size")))
    ffn = read_sparse(config, Router(norm=True), "intermediate_size", top_k="moe_topk", shared=shared)
    names = block_names(shared="shared_mlp") | {"router": LAYER + "mlp.gate.wg.weight"}
    names |= {f"{part[0]}_norm": f"{LAYER}self_attn.{part}_layernorm.weight" for part in ("query", "key")}
    return decoder(config, [Layer(attention, ffn) for _ in depths(config)], names=names, eps=1e-5)
