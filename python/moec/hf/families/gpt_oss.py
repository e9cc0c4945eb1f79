# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""gpt-oss (arXiv:2508.10925), with experts of 4 bits as they are published or of floats as transformers writes them."""

import dataclasses

from moec.hf.config import Config
from moec.hf.names import LAYER
from moec.hf.readers import decoder, read_attention, read_biases, read_sparse, read_windows
from moec.hf.spec import Glu, Layer, Router, Spec
from moec.hf.weights import Fused


def spec(config: Config) -> Spec:
    config.ignore("initial_context_length")  # the scaling of the rotary embedding names it again
    if not config.table("rope_scaling") and not config.table("rope_parameters"):
        config.refuse("rope_parameters", "an object")
    full = read_attention(
        config, 1.5e5, config.integer("head_dim", 64), biases=read_biases(config, "qkvo", default=True), sinks=True
    )
    attentions = read_windows(config, full, lambda depth: depth % 2 == 0, 128)
    # The softmax of the chosen logits.
    sparse = read_sparse(config, Router(bias=True, norm=True), "intermediate_size")
    config.only("experts_per_token", sparse.top_k)
    config.only("swiglu_limit", 7.0)
    sparse = dataclasses.replace(sparse, glu=Glu(alpha=1.702, offset=1.0, limit=7.0), bias=True)
    block = LAYER + "mlp"
    names = {"router": block + ".router.weight"} | _experts(
        block + ".experts.", sparse.experts, sparse.intermediate, config.integer("hidden_size"), _has_mxfp4(config)
    )
    return decoder(config, [Layer(attention, sparse) for attention in attentions], names=names, eps=1e-5, fp8=False)


def _has_mxfp4(config: Config) -> bool:
    """Whether the experts' matrices have 4 bits; these are in rows, those of floats in columns."""
    quantization = config.table("quantization_config")
    if quantization is None:
        return False
    quantization.choice("quant_method", "mxfp4")
    quantization.ignore("modules_to_not_convert", "dequantize")  # all but the experts; how to load, not what
    quantization.finish()
    return True


def _experts(prefix: str, count: int, width: int, hidden: int, mxfp4: bool) -> dict[str, str | Fused]:
    """Gate and up are interleaved in one tensor."""
    gate_up, bias = prefix + "gate_up_proj", prefix + "gate_up_proj_bias"
    names: dict[str, str | Fused] = {"down_bias": prefix + "down_proj_bias"}
    for role, row in {"gate": "2 * o", "up": "2 * o + 1"}.items():
        names[f"{role}_bias"] = Fused(bias, (count, 2 * width), f"e, {row}")
        if mxfp4:
            names[role] = Fused(gate_up, (count, 2 * width, hidden), f"e, {row}, i", mxfp4=True)
        else:
            names[role] = Fused(gate_up, (count, hidden, 2 * width), f"e, i, {row}")
    if mxfp4:
        names["down"] = Fused(prefix + "down_proj", (count, hidden, width), mxfp4=True)
    else:
        names["down"] = Fused(prefix + "down_proj", (count, width, hidden), "e, i, o")
    return names
