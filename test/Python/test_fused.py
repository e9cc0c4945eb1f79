# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Families whose checkpoints hold weights in other forms than they are computed with, in those forms and dtypes."""

import copy
import json

import numpy as np
import pytest
from test_families import FACTOR, compile_for_one_level, separated_text
from tiny_families import FAMILIES

import moec
from moec import reference
from moec.hf.families import read_spec

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


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["dbrx", "gpt_oss", "granitemoeshared", "llama4_text"])
def test_dtype(family, dtype, checkpoint, tmp_path):
    """Weights in 16 bits compute what the same weights compute in f32."""
    folder = checkpoint(family, True, dtype)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **EAGER)
    check_logits(model, folder, tmp_path)


@pytest.fixture
def mxfp4(tmp_path):
    """A gpt-oss with experts of 4 bits as it is published, and the model with the values that they stand for."""
    config = FAMILIES["gpt_oss"][0] | {"hidden_size": 64, "intermediate_size": 32}
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**config), **EAGER).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(tensor.normal_(1 if "norm" in name else 0, 0.2).bfloat16())
    folder = tmp_path / "checkpoint"
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


def test_published_dbrx(tmp_path):
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
