# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Families whose checkpoints hold weights in other forms than they are computed with, in those forms and dtypes."""

import copy
import json

import numpy as np
import pytest
from test_families import FACTOR, compile_for_one_level, separated_text
from test_models import by_sequence, ragged, reserved
from tiny_families import FAMILIES

import moec
from moec import reference
from moec.hf.families import read_spec
from moec.hf.wrapped import WRAPPERS

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}


def check_logits(model, checkpoint, folder):
    """Compiled, a checkpoint computes what the model in f32 computes."""
    compile_for_one_level(checkpoint, folder / "package")
    ids, exact = separated_text(model)
    with torch.no_grad():
        bound = FACTOR * np.abs(model(torch.tensor(ids)).logits.numpy() - exact).max()
    assert np.abs(moec.load(folder / "package").logits(ids) - exact).max() <= bound


def randomize(model):
    """The weights of a model, as `conftest.tiny_model` makes them."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.normal_(1 if "norm" in name and name.endswith("weight") else 0, 0.2)
    return model.eval()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["dbrx", "gpt_oss", "granitemoeshared", "llama4_text"])
def test_dtype(family, dtype, checkpoint, tmp_path):
    """Weights in 16 bits compute what the same weights compute in f32."""
    folder = checkpoint(family, True, dtype)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **EAGER)
    check_logits(model, folder, tmp_path)


@pytest.mark.parametrize("family", ["gpt_oss", "llama4_text"])
def test_alone_and_in_a_batch(family, checkpoint, tmp_path):
    """Sinks, chunks, temperatures and biases of experts keep the bits of a row: whole, chunked, and among others."""
    compile_for_one_level(checkpoint(family), tmp_path / "package")
    model, texts = reserved(tmp_path / "package"), [list(range(40, 70)), [9] * 20]
    whole = model.forward(*ragged([texts[0]], [0], [1]))
    begin = 0
    for end in (1, 7, 13, 30):
        chunks = [texts[0][begin:end], texts[1][begin:end]]
        logits = model.forward(*ragged(chunks, [begin, min(begin, 20)], [3, 2]))
        np.testing.assert_array_equal(by_sequence(logits, chunks)[0], whole[begin:end])
        begin = end


@pytest.fixture
def mxfp4(tmp_path):
    """A gpt-oss with experts of 4 bits as it is published, and the model with the values that they stand for."""
    config = FAMILIES["gpt_oss"][0] | {"hidden_size": 64, "intermediate_size": 32}
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**config), **EAGER)
    model, folder = randomize(model), tmp_path / "checkpoint"
    for tensor in model.state_dict().values():
        tensor.copy_(tensor.bfloat16())
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    tensors = safetensors.load_file(folder / "model.safetensors")
    rng = np.random.default_rng(0)
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, columns, rows = tensors.pop(name).shape
        blocks = rng.integers(0, 256, (experts, rows, columns // 32, 16), np.uint8)
        scales = rng.integers(122, 126, blocks.shape[:3], np.uint8)
        model.get_parameter(name).data = torch.tensor(reference.mxfp4(blocks, scales)).transpose(1, 2).contiguous()
        tensors |= {f"{name}_blocks": torch.tensor(blocks), f"{name}_scales": torch.tensor(scales)}
    safetensors.save_file(tensors, folder / "model.safetensors")
    written = json.loads((folder / "config.json").read_text())
    written["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}
    (folder / "config.json").write_text(json.dumps(written))
    return model, folder


def test_mxfp4(mxfp4, tmp_path):
    check_logits(*mxfp4, tmp_path)


def test_mxfp4_block(mxfp4, tmp_path):
    """One block alone, with what it is derived from."""
    model, folder = mxfp4
    moec.compile_checkpoint(folder, tmp_path / "package", "model.layers.1.mlp")
    x = torch.randn(17, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = model.model.layers[1].mlp(x[None])[0][0].numpy()
    y = moec.load(tmp_path / "package").block(x.numpy())
    # Sums of 64 and 32 products of size 1, and more as logits of a router: 100 roundings of 6e-8.
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"quant_method": "fp8"}, 'quantization_config: quant_method: expected "mxfp4", got "fp8"'),
        ({"bits": 4}, "quantization_config: bits: expected no such key, got 4"),
    ],
)
def test_other_quantizations(mxfp4, change, message):
    _, folder = mxfp4
    written = json.loads((folder / "config.json").read_text())
    written["quantization_config"] |= change
    (folder / "config.json").write_text(json.dumps(written))
    with pytest.raises(moec.Error) as error:
        read_spec(folder)
    assert str(error.value) == f"{folder / 'config.json'}: {message}"


_VISION = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32}
_VISION |= {"image_size": 28, "patch_size": 14}
_PROJECTOR = {"projector_input_dim": 16, "projector_output_dim": 16, "vision_output_dim": 16}
WITH_IMAGES = {
    "aria": {
        "projector_patch_to_query_dict": {4: 2},
        "vision_config": _VISION | {"model_type": "idefics3_vision"},
    },
    "gemma4": {
        "audio_config": None,
        "vision_config": {key: _VISION[key] for key in ("hidden_size", "num_hidden_layers", "intermediate_size")}
        | {"head_dim": 8, "num_attention_heads": 2, "num_key_value_heads": 2, "position_embedding_size": 16},
    },
    "llama4": {"vision_config": _VISION | _PROJECTOR},
}


@pytest.mark.parametrize("family", sorted(WRAPPERS))
def test_part_for_text(family, tmp_path):
    """A decoder within a model that sees images too."""
    text = FAMILIES[WRAPPERS[family].family][0]
    config = transformers.AutoConfig.for_model(family, text_config=text, **WITH_IMAGES[family])
    model = randomize(transformers.AutoModelForImageTextToText.from_config(config, **EAGER))
    model.save_pretrained(tmp_path / "checkpoint")
    check_logits(model, tmp_path / "checkpoint", tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"text_config": None}, "text_config: expected an object, got null"),
        ({"text_config": {"model_type": "llama"}}, 'text_config: model_type: expected "llama4_text", got "llama"'),
        ({"logit_scale": 2.0}, "logit_scale: expected no such key, got 2.0"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings: expected false, got true"),
    ],
)
def test_refused_around_a_decoder(tmp_path, change, message):
    config = {"model_type": "llama4", "text_config": FAMILIES["llama4_text"][0]} | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(moec.Error) as error:
        read_spec(tmp_path)
    assert str(error.value) == f"{tmp_path / 'config.json'}: {message}"


PUBLISHED = {
    "gpt-oss-20b": """{"architectures": ["GptOssForCausalLM"], "attention_bias": true, "attention_dropout": 0.0,
        "eos_token_id": 200002, "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2880,
        "initial_context_length": 4096, "initializer_range": 0.02, "intermediate_size": 2880,
        "max_position_embeddings": 131072, "model_type": "gpt_oss", "num_attention_heads": 64,
        "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 8, "num_local_experts": 32,
        "output_router_logits": false, "pad_token_id": 199999, "quantization_config": {"quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens",
        "lm_head"]}, "rms_norm_eps": 1e-05, "rope_scaling": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0,
        "original_max_position_embeddings": 4096, "rope_type": "yarn", "truncate": false}, "rope_theta": 150000,
        "router_aux_loss_coef": 0.9, "sliding_window": 128, "swiglu_limit": 7.0, "tie_word_embeddings": false,
        "transformers_version": "4.55.0.dev0", "use_cache": true, "vocab_size": 201088}""",
    "dbrx-instruct": """{"architectures": ["DbrxForCausalLM"], "attn_config": {"clip_qkv": 8, "kv_n_heads": 8,
        "model_type": "", "rope_theta": 500000}, "d_model": 6144, "emb_pdrop": 0.0, "ffn_config": {"ffn_act_fn":
        {"name": "silu"}, "ffn_hidden_size": 10752, "model_type": "", "moe_jitter_eps": 0, "moe_loss_weight": 0.05,
        "moe_normalize_expert_weights": 1, "moe_num_experts": 16, "moe_top_k": 4, "uniform_expert_assignment": false},
        "initializer_range": 0.02, "max_seq_len": 32768, "model_type": "dbrx", "n_heads": 48, "n_layers": 40,
        "output_router_logits": false, "resid_pdrop": 0.0, "router_aux_loss_coef": 0.05, "tie_word_embeddings": false,
        "torch_dtype": "bfloat16", "transformers_version": "4.39.2", "use_cache": true, "vocab_size": 100352}""",
    "Llama-4-Scout": """{"architectures": ["Llama4ForConditionalGeneration"], "boi_token_index": 200080,
        "eoi_token_index": 200081, "image_token_index": 200092, "model_type": "llama4", "text_config":
        {"_attn_implementation_autoset": true, "attention_bias": false, "attention_chunk_size": 8192,
        "attention_dropout": 0.0, "bos_token_id": 200000, "eos_token_id": [200001, 200007, 200008],
        "for_llm_compressor": false, "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120,
        "initializer_range": 0.02, "interleave_moe_layer_step": 1, "intermediate_size": 8192,
        "intermediate_size_mlp": 16384, "max_position_embeddings": 10485760, "model_type": "llama4_text",
        "no_rope_layers": [], "num_attention_heads": 40, "num_experts_per_tok": 1, "num_hidden_layers": 48,
        "num_key_value_heads": 8, "num_local_experts": 16, "output_router_logits": false, "pad_token_id": 200018,
        "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 16.0, "high_freq_factor": 1.0, "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
        "router_aux_loss_coef": 0.001, "router_jitter_noise": 0.0, "torch_dtype": "bfloat16", "use_cache": true,
        "use_qk_norm": true, "vocab_size": 202048}, "torch_dtype": "bfloat16", "transformers_version": "4.51.0.dev0",
        "vision_config": {"hidden_size": 1408}}""",
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_published(model, tmp_path):
    """Settings of transformers 4, as models were published with them."""
    (tmp_path / "config.json").write_text(PUBLISHED[model])
    spec = read_spec(tmp_path)
    layers, experts = {"gpt-oss-20b": (24, 32), "dbrx-instruct": (40, 16), "Llama-4-Scout": (48, 16)}[model]
    assert (len(spec.layers), spec.layers[0].ffn.experts) == (layers, experts)


def test_base_of_dbrx(tmp_path):
    """Its rotary base is the one beside its attention; another one elsewhere is refused."""
    config = FAMILIES["dbrx"][0]
    (tmp_path / "config.json").write_text(json.dumps(config | {"attn_config": {"kv_n_heads": 3, "rope_theta": 5e5}}))
    rope = read_spec(tmp_path).layers[0].attention.rope
    assert rope.inv_freq[1] == pytest.approx(5e5 ** (-1 / 3))
    contradiction = config | {"rope_parameters": {"rope_theta": 2e4, "rope_type": "default"}}
    (tmp_path / "config.json").write_text(json.dumps(contradiction))
    with pytest.raises(moec.Error, match="rope_parameters: rope_theta: expected 10000.0, got 20000.0"):
        read_spec(tmp_path)


@pytest.mark.parametrize(
    "family, change, message",
    [
        ("dbrx", {"d_model": None}, "d_model: expected a value, got null"),
        (
            "dbrx",
            {"ffn_config": {"moe_normalize_expert_weights": 2.0}},
            "ffn_config: moe_normalize_expert_weights: expected 1.0, got 2.0",
        ),
        ("dbrx", {"attn_config": {"kv_n_heads": 4}}, "attn_config: kv_n_heads: expected a divisor of n_heads, got 4"),
        ("gpt_oss", {"swiglu_limit": 6.0}, "swiglu_limit: expected 7.0, got 6.0"),
        ("gpt_oss", {"rope_parameters": None}, "rope_parameters: expected an object, got null"),
        ("llama4_text", {"no_rope_layers": [1, 0]}, "no_rope_layers: expected at least 3 numbers, got [1, 0]"),
        (
            "llama4_text",
            {"attention_chunk_size": None},
            "attention_chunk_size: expected an integer of at least 1, got null",
        ),
    ],
)
def test_refused(tmp_path, family, change, message):
    (tmp_path / "config.json").write_text(json.dumps(FAMILIES[family][0] | change))
    with pytest.raises(moec.Error) as error:
        read_spec(tmp_path)
    assert str(error.value) == f"{tmp_path / 'config.json'}: {message}"
