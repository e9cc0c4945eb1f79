# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models of any size: the text of the IR and the code grow neither with depth nor with the number of experts. Weights
are not needed, so the largest models compile anywhere."""

import time

import pytest
from tiny import CONFIGS, write_config

import moec

MIXTRAL_8X7B = {
    "architectures": ["MixtralForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "dtype": "bfloat16",
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "model_type": "mixtral",
    "num_attention_heads": 32,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 1000000.0,
    "router_aux_loss_coef": 0.02,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": 32000,
}
"""47 billion parameters (arXiv:2401.04088)."""

AS_LARGE_AS_DEEPSEEK_V3 = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 0,
    "decoder_sparse_step": 1,
    "dtype": "bfloat16",
    "eos_token_id": 1,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "max_position_embeddings": 163840,
    "mlp_only_layers": [0, 1, 2],
    "model_type": "qwen3_moe",
    "moe_intermediate_size": 2048,
    "norm_topk_prob": True,
    "num_attention_heads": 128,
    "num_experts": 256,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "vocab_size": 129280,
}
"""Qwen3-MoE's architecture with the sizes of DeepSeek-V3 (arXiv:2412.19437), dense layers first."""

SMALL = {"num_hidden_layers": 4, "hidden_size": 64, "intermediate_size": 48, "num_attention_heads": 4}
SMALL |= {"num_key_value_heads": 2, "vocab_size": 99}
SMALL_EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 40}


def lines(config, folder):
    return moec.import_checkpoint(write_config(folder, config), shapes_only=True).count("\n")


def code(config, folder):
    """Bytes of module.so."""
    package = folder / "package"
    moec.compile_checkpoint(write_config(folder, config), package, shapes_only=True)
    return (package / "module.so").stat().st_size


@pytest.mark.parametrize("config", [MIXTRAL_8X7B, AS_LARGE_AS_DEEPSEEK_V3], ids=lambda config: config["model_type"])
def test_large_model(config, tmp_path, record_property):
    changes = {key: value for key, value in (SMALL | SMALL_EXPERTS).items() if key in config}
    assert lines(config, tmp_path / "large") <= lines(config | changes, tmp_path / "small")
    start = time.monotonic()
    code(config, tmp_path / "large")
    seconds = time.monotonic() - start
    record_property("seconds", seconds)
    print(f"{config['model_type']}, {config['num_hidden_layers']} layers: compiled in {seconds:.1f} s")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Code of 2 layers of 5 experts."""
    return code(CONFIGS["mixtral"] | {"dtype": "bfloat16"}, tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize("change", [{"num_hidden_layers": 64}, {"num_local_experts": 1024}], ids=["depth", "experts"])
def test_code_does_not_grow(small, change, tmp_path):
    # Only the digits of numbers may be more. With 64 to 512 experts there is somewhat more code than with 1024, because
    # LLVM unrolls short loops.
    assert code(CONFIGS["mixtral"] | {"dtype": "bfloat16"} | change, tmp_path) <= 1.01 * small
