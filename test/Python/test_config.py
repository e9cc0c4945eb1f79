# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""config.json: what is read, and what is refused."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from tiny import ALL, CONFIGS, write_config
from tiny_encdec import ENCODERS

from moec import Error
from moec.hf.families import ACCEPTED, ALIASES, read_spec
from moec.hf.refused import REFUSED
from moec.hf.spec import Dense, Sparse

# Classes that hold experts or route to them.
EXPERTS = r"use_experts_implementation|^class \w*(Expert|Mo[Ee]|SparseMLP|Top[kK]Router)\w*\(nn\.Module\)"

PUBLISHED = {
    "olmoe": """{"architectures": ["OlmoeForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "clip_qkv": null, "eos_token_id": 50279, "hidden_act": "silu", "hidden_size": 2048,
        "initializer_range": 0.02, "intermediate_size": 1024, "max_position_embeddings": 4096,
        "model_type": "olmoe", "norm_topk_prob": false, "num_attention_heads": 16, "num_experts": 64,
        "num_experts_per_tok": 8, "num_hidden_layers": 16, "num_key_value_heads": 16,
        "output_router_logits": false, "pad_token_id": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
        "rope_theta": 10000.0, "router_aux_loss_coef": 0.01, "tie_word_embeddings": false, "torch_dtype":
        "bfloat16", "transformers_version": "4.46.0.dev0", "use_cache": true, "vocab_size": 50304}""",
    "glm4_moe": """{"architectures": ["Glm4MoeForCausalLM"], "attention_bias": true, "attention_dropout": 0.0,
        "eos_token_id": [151329, 151336, 151338], "first_k_dense_replace": 1, "head_dim": 128, "hidden_act": "silu",
        "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 10944, "max_position_embeddings":
        131072, "model_type": "glm4_moe", "moe_intermediate_size": 1408, "n_group": 1, "n_routed_experts": 128,
        "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 96, "num_experts_per_tok": 8,
        "num_hidden_layers": 46, "num_key_value_heads": 8, "num_nextn_predict_layers": 1, "pad_token_id": 151329,
        "partial_rotary_factor": 0.5, "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 1000000,
        "routed_scaling_factor": 1.0, "tie_word_embeddings": false, "topk_group": 1, "torch_dtype": "bfloat16",
        "transformers_version": "4.54.1", "use_cache": true, "use_qk_norm": false, "vocab_size": 151552}""",
    "mixtral": """{"architectures": ["MixtralForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1,
        "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
        "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mixtral",
        "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
        "num_key_value_heads": 8, "num_local_experts": 8, "output_router_logits": false, "rms_norm_eps":
        1e-05, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.02, "sliding_window": null,
        "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.36.0.dev0",
        "use_cache": true, "vocab_size": 32000}""",
    "qwen3_moe": """{"architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 151643, "decoder_sparse_step": 1, "eos_token_id": 151645, "head_dim": 128,
        "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 6144,
        "max_position_embeddings": 40960, "max_window_layers": 48, "mlp_only_layers": [], "model_type":
        "qwen3_moe", "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32,
        "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4,
        "output_router_logits": false, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta":
        1000000.0, "router_aux_loss_coef": 0.001, "sliding_window": null, "tie_word_embeddings": false,
        "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": true,
        "use_sliding_window": false, "vocab_size": 151936}""",
}


def spec_of(tmp_path, config, generation=None):
    folder = write_config(tmp_path, config)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return read_spec(folder)


@pytest.mark.parametrize("family", sorted(PUBLISHED))
def test_published(tmp_path, family):
    config = json.loads(PUBLISHED[family])
    spec = spec_of(tmp_path, config)
    dense, part = (
        config.get(key, default) for key, default in (("first_k_dense_replace", 0), ("partial_rotary_factor", 1))
    )
    assert (
        list(spec.kinds.values())
        == [tuple(range(dense)), tuple(range(dense, config["num_hidden_layers"]))][dense == 0 :]
    )
    assert spec.layers[0].attention.head_dim == 128
    assert spec.layers[0].attention.rope.dim == 128 * part
    assert spec.layers[0].attention.window is None


@pytest.mark.parametrize("switched", [False, True], ids=["plain", "switched"])
@pytest.mark.parametrize("family", sorted(ALL))
def test_as_transformers_writes_it(tmp_path, family, switched):
    """What transformers 5 writes, with defaults spelt out and other names, means the same."""
    transformers = pytest.importorskip("transformers")
    plain, changes = (ALL | ENCODERS)[family]
    config = plain | (changes if switched else {})
    expected = spec_of(tmp_path / "by_hand", config)
    transformers.AutoConfig.for_model(**config).save_pretrained(tmp_path / "saved")
    assert read_spec(tmp_path / "saved") == expected


@pytest.mark.parametrize("family, reason", REFUSED.items())
def test_other_kinds_of_programs(tmp_path, family, reason):
    with pytest.raises(Error) as error:
        spec_of(tmp_path, {"model_type": family})
    assert str(error.value).endswith(f'model_type: expected a family without {reason}, got "{family}"')


@pytest.mark.parametrize("alias, family", ALIASES.items())
def test_aliases(tmp_path, alias, family):
    specs = [spec_of(tmp_path, ALL[family][0] | {"model_type": type}) for type in (alias, family)]
    assert dataclasses.replace(specs[0], architecture=family) == specs[1]


def test_no_family_is_forgotten():
    """Each class of transformers for language with experts has a page or a reason to be refused."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES, model_type_to_module_name
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    sources = sorted(Path(transformers.__file__).parent.glob("models/*/modeling_*.py"))
    experts = {path.parent.name for path in sources if re.search(EXPERTS, path.read_text("utf-8"), re.MULTILINE)}
    assert len(experts) > 60
    known = ACCEPTED + tuple(REFUSED)
    for folder in experts:
        types = [type for type in CONFIG_MAPPING_NAMES if model_type_to_module_name(type) == folder]
        assert any(type.replace("-", "_") in known for type in types), folder
        assert not [type for type in types if type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and type not in known]


def test_kinds_of_layers(tmp_path):
    change = {"num_hidden_layers": 6, "decoder_sparse_step": 2, "mlp_only_layers": [3]}
    spec = spec_of(tmp_path, CONFIGS["qwen3_moe"] | change)
    assert [type(layer.ffn) for layer in spec.layers] == [Dense, Sparse, Dense, Dense, Dense, Sparse]
    assert list(spec.kinds.values()) == [(0, 2, 3, 4), (1, 5)]


def test_windows(tmp_path):
    window = {"sliding_window": 5}
    assert spec_of(tmp_path, CONFIGS["mixtral"] | window).layers[0].attention.window == 5
    assert spec_of(tmp_path, CONFIGS["qwen3_moe"] | window).layers[0].attention.window is None
    window["use_sliding_window"] = True
    assert spec_of(tmp_path, CONFIGS["qwen3_moe"] | window).layers[0].attention.window == 5


def test_no_window(tmp_path):
    """Null is no window, where a layer can do without; absent is the family's own."""
    none = {"sliding_window": None, "use_sliding_window": True}
    assert spec_of(tmp_path, CONFIGS["qwen3_moe"] | none).layers[0].attention.window is None
    deep = ALL["dots1"][0] | {"max_window_layers": 1}
    assert [layer.attention.window for layer in spec_of(tmp_path, deep).layers] == [None, 4096, 4096]
    assert {layer.attention.window for layer in spec_of(tmp_path, deep | {"sliding_window": None}).layers} == {None}
    for family in ("exaone_moe", "mellum"):
        with pytest.raises(Error, match="sliding_window: expected an integer of at least 1, got null"):
            spec_of(tmp_path, ALL[family][0] | {"sliding_window": None})


def test_lengths(tmp_path):
    """Frequencies that are right for short texts alone bound the length."""
    plain, changes = ALL["phimoe"]
    assert spec_of(tmp_path, plain).max_len == 96
    assert spec_of(tmp_path, plain | changes).max_len == 64


def test_ends_of_a_text(tmp_path):
    assert spec_of(tmp_path, CONFIGS["olmoe"]).eos == (2,)
    spec = spec_of(tmp_path, CONFIGS["olmoe"], {"eos_token_id": [5, 2], "do_sample": True, "top_k": 20})
    assert (spec.bos, spec.eos) == (1, (5, 2))


@pytest.mark.parametrize(
    "family, change, message",
    [
        ("olmoe", {"logit_scale": 2}, "logit_scale: expected no such key, got 2"),
        ("olmoe", {"head_dim": 8}, "head_dim: expected no such key, got 8"),
        ("mixtral", {"clip_qkv": 1.0}, "clip_qkv: expected no such key, got 1.0"),
        ("mixtral", {"hidden_act": "gelu"}, 'hidden_act: expected "silu", got "gelu"'),
        ("qwen3_moe", {"qkv_bias": True}, "qkv_bias: expected false, got true"),
        ("qwen3_moe", {"norm_topk_prob": 1}, "norm_topk_prob: expected true or false, got 1"),
        ("qwen3_moe", {"mlp_only_layers": ["0"]}, 'mlp_only_layers: expected integers of at least 0, got ["0"]'),
        ("qwen3_moe", {"num_local_experts": 8}, "num_experts: expected 8, got 9"),
        ("olmoe", {"rms_norm_eps": float("nan")}, "rms_norm_eps: expected a finite number, got NaN"),
        ("olmoe", {"rope_theta": float("inf")}, "rope_theta: expected a finite number, got Infinity"),
        ("olmoe", {"initializer_range": float("nan")}, "initializer_range: expected a finite number, got NaN"),
        ("olmoe", {"rms_norm_eps": -1e-5}, "rms_norm_eps: expected a number greater than 0, got -1e-05"),
        ("olmoe", {"hidden_size": 36.0}, "hidden_size: expected an integer of at least 1, got 36.0"),
        ("olmoe", {"hidden_size": True}, "hidden_size: expected an integer of at least 1, got true"),
        ("olmoe", {"hidden_size": 0}, "hidden_size: expected an integer of at least 1, got 0"),
        ("olmoe", {"hidden_size": 37}, "num_attention_heads: expected a divisor of hidden_size (37), got 6"),
        (
            "olmoe",
            {"num_key_value_heads": 4},
            "num_key_value_heads: expected a divisor of num_attention_heads (6), got 4",
        ),
        ("olmoe", {"num_experts_per_tok": 8}, "num_experts_per_tok: expected at most the number of experts (7), got 8"),
        ("olmoe", {"vocab_size": None}, "vocab_size: expected a value, got null"),
        ("olmoe", {"model_type": "gpt2"}, f'model_type: expected one of {", ".join(ACCEPTED)}, got "gpt2"'),
    ],
)
def test_refused(tmp_path, family, change, message):
    with pytest.raises(Error) as error:
        spec_of(tmp_path, CONFIGS[family] | change)
    assert str(error.value) == f"{tmp_path / 'config.json'}: {message}"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "expected JSON"),
        ("[1]", "expected a JSON object, got [1]"),
        ('{"vocab_size": 1, "vocab_size": 2}', "key 'vocab_size' twice"),
        ("[" * 100000, "expected JSON"),
    ],
)
def test_not_a_config(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Error, match="config.json") as error:
        read_spec(tmp_path)
    assert message in str(error.value)


def test_no_config(tmp_path):
    with pytest.raises(Error, match="config.json: No such file"):
        read_spec(tmp_path)


def test_generation_that_is_not_greedy(tmp_path):
    with pytest.raises(Error, match="generation_config.json: repetition_penalty: expected 1, got 1.1"):
        spec_of(tmp_path, CONFIGS["olmoe"], {"repetition_penalty": 1.1})
