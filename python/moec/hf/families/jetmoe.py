# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""JetMoE (arXiv:2404.07413).

``rms_norm_eps`` is that of the last norm alone: the class of transformers gives the norms of the layers 1e-6 whatever
config.json says.
"""

from moec.hf.config import Config
from moec.hf.names import LAYER, halves
from moec.hf.readers import decoder, depths, read_sparse
from moec.hf.rope import read_rope
from moec.hf.spec import Attention, Layer, Mixture, Norm, Router, Sparse, Spec
from moec.hf.weights import Fused


def spec(config: Config) -> Spec:
    config.ignore("aux_loss_coef")  # only in training
    config.only("activation_function", "silu")
    ffn = read_sparse(config, Router(norm=True), "intermediate_size", out_bias=True)  # the softmax of the chosen logits
    heads, head_dim = config.integer("num_key_value_heads"), config.integer("kv_channels", 128)
    config.only("num_attention_heads", heads * ffn.top_k)
    rope = read_rope(config, head_dim, config.integer("max_position_embeddings"), 1e4)
    attention = Attention(heads * ffn.top_k, heads, head_dim, rope)
    mixture = Mixture(attention, Sparse(heads * head_dim, ffn.experts, ffn.top_k, ffn.router))
    hidden, width = config.integer("hidden_size"), heads * head_dim
    block, own, kv = LAYER + "mlp.", LAYER + "self_attention.experts.", LAYER + "self_attention.kv_proj.weight"
    names = halves(block + "input_linear.weight", ffn.intermediate, hidden, ffn.experts) | {
        "down": block + "output_linear.weight",
        "router": block + "router.layer.weight",
        "out_bias": block + "bias",
        "attn_router": own + "router.layer.weight",
        "attn_up": own + "input_linear.weight",
        "attn_down": own + "output_linear.weight",
        "attn_out_bias": own + "bias",
        "k": Fused(kv, (2 * width, hidden), "o, i"),
        "v": Fused(kv, (2 * width, hidden), f"o + {width}, i"),
    }
    layers, eps = [Layer(mixture, ffn) for _ in depths(config)], config.number("rms_norm_eps", 1e-6)
    return decoder(config, layers, Norm(1e-6), names, tied=True, last_eps=eps)
