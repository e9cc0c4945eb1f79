# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Command A+."""

from moec.hf.config import Config
from moec.hf.readers import decoder, read_attention, read_biases, read_sparse, read_types, read_windows
from moec.hf.spec import Dense, Layer, Norm, Router, Shared, Spec


def spec(config: Config) -> Spec:
    full = read_attention(
        config, 1e4, config.integer("head_dim", 128), interleaved=True, biases=read_biases(config, "qkvo")
    )
    first, pattern = config.integer("first_k_dense_replace", 0, minimum=0), config.integer("sliding_window_pattern", 4)
    dense_pattern = config.integer("prefix_dense_sliding_window_pattern", 1)

    def slides(depth: int) -> bool:
        return (depth + 1) % dense_pattern != 0 if depth < first else (depth - first + 1) % pattern != 0

    attentions = read_windows(config, full, slides, 4096, full_rope=False)
    types = read_types(config, "mlp_layer_types", lambda depth: "dense" if depth < first else "sparse")
    if dense_pattern == 1:
        attentions = [full if type == "dense" and not a.window else a for a, type in zip(attentions, types)]
    function = config.choice("expert_selection_fn", "softmax", "sigmoid")
    norm = config.flag("norm_topk_prob", True) or function == "softmax"  # softmax of the chosen logits
    width, shared = config.integer("intermediate_size"), None
    strategy = config.choice("shared_expert_combination_strategy", "average", "sum")
    if count := config.integer("num_shared_experts", 0, minimum=0):
        shared = Shared(Dense(width * count), average=strategy == "average")
    router = Router(function, select_logits=True, norm=norm)
    networks = {"sparse": read_sparse(config, router, "intermediate_size", shared=shared)}
    if "dense" in types:
        networks["dense"] = Dense(config.integer("prefix_dense_intermediate_size"))
    layers = [Layer(a, networks[type], ("attn_norm",), parallel=True) for a, type in zip(attentions, types)]
    eps, centered = config.number("rms_norm_eps", None), config.number("layer_norm_eps", 1e-5)
    norm = Norm(eps) if eps else Norm(centered, center=True)
    return decoder(config, layers, norm, tied=True, logit_scale=config.number("logit_scale", 0.0625))
