# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Classes of transformers, in float64."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import torch
from exact import InDouble

from oracles.oracle import Oracle


def _gate_up(w):
    return np.concatenate([w["gate"], w["up"]], axis=1)


def _shared(w, module):
    return {f"{module}.{name}_proj.weight": w[f"shared_{name}"] for name in ("gate", "up", "down")}


def _experts(w):
    return {"experts.gate_up_proj": _gate_up(w), "experts.down_proj": w["down"]}


def _gpt_oss(w):
    rows, biases = ([w[f"{name}{suffix}"] for name in ("gate", "up")] for suffix in ("", "_bias"))
    return {
        "router.weight": w["router"],
        "router.bias": w["router_bias"],
        "experts.gate_up_proj": np.stack(rows, axis=2).reshape(len(rows[0]), -1, rows[0].shape[2]).swapaxes(1, 2),
        "experts.gate_up_proj_bias": np.stack(biases, axis=2).reshape(len(rows[0]), -1),
        "experts.down_proj": w["down"].swapaxes(1, 2),
        "experts.down_proj_bias": w["down_bias"],
    }


def _dbrx(w):
    flat = {"w1": w["gate"], "v1": w["up"], "w2": w["down"].swapaxes(1, 2)}
    return {f"experts.mlp.{name}": array.reshape(-1, array.shape[2]) for name, array in flat.items()}


def _longcat(w):
    """The class allocates rows for identity experts, too, and does not read them."""
    unread = np.zeros((len(w["router"]) - len(w["gate"]), *_gate_up(w).shape[1:]))
    return {"experts.gate_up_proj": np.concatenate([_gate_up(w), unread]), "experts.down_proj": w["down"]}


def _deepseek_v4(w):
    return _experts(w) | _shared(w, "shared_experts")


def _nemotron(w):
    return {
        "experts.up_proj": w["in"],
        "experts.down_proj": w["out"],
        "shared_experts.up_proj.weight": w["shared_in"],
        "shared_experts.down_proj.weight": w["shared_out"],
        "fc1_latent_proj.weight": w["down_latent"],
        "fc2_latent_proj.weight": w["up_latent"],
    }


def _routed(more=lambda w: {}, gate="gate.weight", bias=None):
    def weights(w):
        found = {gate: w["router"]} | more(w)
        return found | ({bias: w["bias"]} if bias else {})

    return weights


_CORRECTION = "gate.e_score_correction_bias"
_COMMON = {"n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 24}
_DEEPSEEK = _COMMON | {"n_shared_experts": 1}
_ONE_GROUP = {"n_group": 1, "topk_group": 1}


def _with_shared(module):
    return lambda w: _experts(w) | _shared(w, module)


_CLASSES = {
    "mixtral": (
        "mixtral.MixtralSparseMoeBlock",
        {"num_local_experts": 8, "num_experts_per_tok": 2},
        _routed(_experts),
    ),
    "qwen2_moe": (
        "qwen2_moe.Qwen2MoeSparseMoeBlock",
        {
            "num_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "shared_expert_intermediate_size": 24,
        },
        _routed(lambda w: _with_shared("shared_expert")(w) | {"shared_expert_gate.weight": w["shared_score"]}),
    ),
    "qwen3_moe": (
        "qwen3_moe.Qwen3MoeSparseMoeBlock",
        {"num_experts": 8, "num_experts_per_tok": 4, "moe_intermediate_size": 24, "norm_topk_prob": True},
        _routed(_experts),
    ),
    "olmoe": (
        "olmoe.OlmoeSparseMoeBlock",
        {"num_experts": 8, "num_experts_per_tok": 4},
        _routed(_experts),
    ),
    "dbrx": (
        "dbrx.DbrxFFN",
        {
            "ffn_config": {
                "hidden_size": 40,
                "ffn_hidden_size": 24,
                "moe_num_experts": 8,
                "moe_top_k": 4,
                "moe_normalize_expert_weights": 2.0,
            }
        },
        _routed(_dbrx, gate="router.layer.weight"),
    ),
    "granite": (
        "granitemoe.GraniteMoeMoE",
        {"num_local_experts": 8, "num_experts_per_tok": 2},
        _routed(_experts, gate="router.weight"),
    ),
    "phimoe": (
        "phimoe.PhimoeSparseMoeBlock",
        {"num_local_experts": 8, "num_experts_per_tok": 2, "router_jitter_noise": 0.01},
        _routed(_experts, gate="router.weight"),
    ),
    "deepseek_v3": (
        "deepseek_v3.DeepseekV3MoE",
        _DEEPSEEK | {"n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5},
        _routed(_with_shared("shared_experts"), bias=_CORRECTION),
    ),
    "kimi_k2": (
        "deepseek_v3.DeepseekV3MoE",
        _DEEPSEEK | _ONE_GROUP | {"routed_scaling_factor": 2.827},
        _routed(_with_shared("shared_experts"), bias=_CORRECTION),
    ),
    "glm4_moe": (
        "glm4_moe.Glm4MoeMoE",
        _DEEPSEEK | _ONE_GROUP | {"routed_scaling_factor": 1.0},
        _routed(_with_shared("shared_experts"), bias=_CORRECTION),
    ),
    "deepseek_v4": (
        "deepseek_v4.DeepseekV4SparseMoeBlock",
        _COMMON
        | {"swiglu_limit": 0.5, "routed_scaling_factor": 1.5, "mlp_layer_types": ["moe"], "num_hidden_layers": 1},
        _routed(_deepseek_v4, bias=_CORRECTION),
    ),
    "minimax_m2": (
        "minimax_m2.MiniMaxM2SparseMoeBlock",
        {"num_local_experts": 8, "num_experts_per_tok": 4},
        _routed(_experts, bias="e_score_correction_bias"),
    ),
    "ernie": (
        "ernie4_5_moe.Ernie4_5_MoeSparseMoeBlock",
        {"moe_num_experts": 8, "moe_k": 3, "moe_intermediate_size": 24, "moe_num_shared_experts": 2},
        _routed(_with_shared("shared_experts"), bias="gate.moe_statics.e_score_correction_bias"),
    ),
    "hunyuan": (
        "hunyuan_v1_moe.HunYuanMoEV1Moe",
        {"num_experts": 8, "moe_topk": 2},
        _routed(_with_shared("shared_mlp"), gate="gate.wg.weight"),
    ),
    "longcat": (
        "longcat_flash.LongcatFlashMoE",
        {
            "n_routed_experts": 8,
            "zero_expert_num": 4,
            "moe_topk": 4,
            "expert_ffn_hidden_size": 24,
            "routed_scaling_factor": 6.0,
        },
        _routed(_longcat, gate="router.classifier.weight", bias="router.e_score_correction_bias"),
    ),
    "gpt_oss": ("gpt_oss.GptOssMLP", {"num_local_experts": 8, "num_experts_per_tok": 4}, _gpt_oss),
    "llama4": (
        "llama4.Llama4TextMoe",
        {"num_local_experts": 8, "num_experts_per_tok": 1},
        _routed(
            lambda w: {
                "experts.gate_up_proj": _gate_up(w).swapaxes(1, 2),
                "experts.down_proj": w["down"].swapaxes(1, 2),
                **_shared(w, "shared_expert"),
            },
            gate="router.weight",
        ),
    ),
    "nemotron": (
        "nemotron_h.NemotronHMoE",
        _COMMON
        | _ONE_GROUP
        | {"moe_shared_expert_intermediate_size": 24, "moe_latent_size": 20, "routed_scaling_factor": 5.0},
        _routed(_nemotron, bias=_CORRECTION),
    ),
}
"""Class, what its configuration says beside sizes, and the names of its weights."""


def _module(path: str, settings: dict) -> torch.nn.Module:
    """A block of transformers with experts in a loop."""
    family, name = path.split(".")
    modeling = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    configuration = importlib.import_module(f"transformers.models.{family}.configuration_{family}")
    configs = {type.model_type: type for type in vars(configuration).values() if hasattr(type, "model_type")}
    sizes = {"d_model": 40, "d_ff": 24} if family == "dbrx" else {"hidden_size": 40, "intermediate_size": 24}
    config = configs.get(family + "_text", configs[family])(**sizes, **settings)
    config._experts_implementation = "eager"
    block = getattr(modeling, name)
    return (block(config, 0) if family == "deepseek_v4" else block(config)).eval()


def _by_class(path: str, settings: dict, names: Callable) -> Callable:
    def compute(x, w):
        module = _module(path, settings).double()
        tensors = dict(module.named_parameters()) | dict(module.named_buffers())
        weights = names(w)
        assert weights.keys() == tensors.keys()
        with torch.no_grad(), InDouble():
            for name, tensor in tensors.items():
                tensor.copy_(torch.from_numpy(weights[name].astype(np.float64)).reshape(tensor.shape))
            y = module(torch.from_numpy(x)[None])
        y = y[0] if isinstance(y, tuple) else y
        return y.reshape(x.shape).numpy()

    return compute


ORACLES = {
    name: Oracle("transformers " + path.split(".")[1], _by_class(path, settings, names))
    for name, (path, settings, names) in _CLASSES.items()
}
