# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checkpoints whose matrices have 8 bits, as DeepSeek-V3 is published."""

import numpy as np
import pytest
from tiny import CONFIGS, shapes, write_config, write_safetensors

import moec
from moec import reference
from moec.hf.families import read_spec

QUANTIZATION = {
    "quant_method": "fp8",
    "fmt": "e4m3",
    "activation_scheme": "dynamic",
    "weight_block_size": [128, 128],
    "modules_to_not_convert": ["lm_head"],
}
CONFIG = CONFIGS["qwen3_moe"] | {"hidden_size": 140, "moe_intermediate_size": 131}
"""Matrices with more than one block each way, the last ones small."""


def write_checkpoint(folder, config, tensors):
    """Write tensors of u8 as 8-bit floats, of u16 as bf16, and others as f32."""
    header, chunks, end = {}, [], 0
    for name, values in tensors.items():
        dtype = {"uint8": "F8_E4M3", "uint16": "BF16"}.get(values.dtype.name, "F32")
        begin, end = end, end + values.nbytes
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": [begin, end]}
        chunks.append(values.tobytes())
    write_safetensors(write_config(folder, config) / "model.safetensors", header, b"".join(chunks))
    return folder


def bf16_bits(values):
    return (reference.round_rows(values.astype(np.float32), "bf16").view(np.uint32) >> 16).astype(np.uint16)


@pytest.fixture
def tensors(tmp_path):
    """Small matrices of projections and experts as bytes with scales, the rest in bf16; and all of it in bf16."""
    rng, small, expanded = np.random.default_rng(0), {}, {}
    for name, shape in shapes(write_config(tmp_path / "config", CONFIG)).items():
        if "_proj" in name:
            elements = rng.choice([*range(0x78), *range(0x80, 0xF8)], shape).astype(np.uint8)  # up to 240
            blocks = [-(-extent // 128) for extent in shape]
            scales = (rng.uniform(0.5, 2, blocks) / 60 / np.sqrt(shape[-1])).astype(np.float32)
            small |= {name: elements, f"{name}_scale_inv": scales}
            expanded[name] = bf16_bits(reference.fp8(elements, scales))
        else:
            small[name] = expanded[name] = bf16_bits(rng.normal(0, 1, shape) / np.sqrt(shape[-1]))
    return small, expanded


def forward(folder, package):
    moec.compile_checkpoint(folder, package)
    model = moec.load(package)
    model.reserve(1, 16, 16)
    tokens = np.arange(9, dtype=np.int32)
    return model.forward(tokens, np.array([0, 9]), np.array([0]), np.array([0]), tokens)


def test_model(tensors, tmp_path):
    """The same bits as the model whose weights are written out."""
    small = write_checkpoint(tmp_path / "small", CONFIG | {"quantization_config": QUANTIZATION}, tensors[0])
    expanded = write_checkpoint(tmp_path / "expanded", CONFIG, tensors[1])
    logits = forward(small, tmp_path / "small.moe")
    assert np.isfinite(logits).all() and np.ptp(logits) > 0
    np.testing.assert_array_equal(logits, forward(expanded, tmp_path / "expanded.moe"))


def test_missing_scales(tensors, tmp_path):
    small, _ = tensors
    name = "model.layers.1.mlp.experts.3.down_proj.weight_scale_inv"
    del small[name]
    folder = write_checkpoint(tmp_path / "small", CONFIG | {"quantization_config": QUANTIZATION}, small)
    with pytest.raises(moec.Error) as error:
        moec.import_checkpoint(folder)
    assert str(error.value) == f"{folder}: {name}: expected a tensor of shape [2, 2], got none"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"quant_method": "gptq"}, 'quant_method: expected "fp8", got "gptq"'),
        ({"fmt": "e5m2"}, 'fmt: expected "e4m3", got "e5m2"'),
        ({"weight_block_size": [1, 128]}, "weight_block_size: expected [128, 128], got [1, 128]"),
        ({"activation_scheme": "static"}, 'activation_scheme: expected "dynamic", got "static"'),
        ({"bits": 8}, "bits: expected no such key, got 8"),
    ],
)
def test_other_quantizations(change, message, tmp_path):
    folder = write_config(tmp_path, CONFIG | {"quantization_config": QUANTIZATION | change})
    with pytest.raises(moec.Error) as error:
        read_spec(folder)
    assert str(error.value) == f"{folder / 'config.json'}: quantization_config: {message}"


def test_declarations(tensors, tmp_path):
    folder = write_checkpoint(tmp_path / "small", CONFIG | {"quantization_config": QUANTIZATION}, tensors[0])
    text = moec.import_checkpoint(folder)
    name = "model.layers.{0}.mlp.experts.{1}.down_proj.weight"
    assert f'@layer0.down_fp8 : tensor<4x9x140x131xf8E4M3FN> from "{name}"' in text
    assert f'@layer0.down_scales : tensor<4x9x2x2xf32> from "{name}_scale_inv"' in text
    assert "@layer0.down : tensor<4x9x140x131xbf16> fp8 of [@layer0.down_fp8, @layer0.down_scales]" in text
