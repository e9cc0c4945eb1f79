# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The MLIR that is printed: properties of the text, and that the compiler's parser takes it."""

import dataclasses
import re
import subprocess

import pytest
from tiny import CONFIGS, SWITCHED, write_config

from moec import Error, import_checkpoint
from moec.hf.build.decoder import decoder
from moec.hf.families import read_spec
from moec.hf.parameters import parameters, with_dtype
from moec.hf.spec import Rope
from moec.native import find_tool

FAMILIES = sorted(CONFIGS)


def emit(folder, config, block=None):
    """The text for config.json alone."""
    write_config(folder, config | {"torch_dtype": "bfloat16"})
    return import_checkpoint(folder, block, shapes_only=True)


def block_name(family, layer=1):
    return f"model.layers.{layer}.{'block_sparse_moe' if family == 'mixtral' else 'mlp'}"


def assert_parses(text, path):
    try:
        tool = find_tool("moe-opt")
    except Error:
        pytest.skip("needs moe-opt")
    path.write_text(text)
    result = subprocess.run([tool, path, "-o", "/dev/null"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_parses(tmp_path, family, switched):
    text = emit(tmp_path, CONFIGS[family] | (SWITCHED[family] if switched else {}))
    assert_parses(text, tmp_path / "model.mlir")


def emit_attention(folder, **switches):
    """The text of a Mixtral whose attention is another one."""
    spec = read_spec(write_config(folder, CONFIGS["mixtral"] | {"torch_dtype": "bfloat16"}))
    (layer,) = spec.kinds
    layer = dataclasses.replace(layer, attention=dataclasses.replace(layer.attention, **switches))
    spec = dataclasses.replace(spec, layers=(layer,) * len(spec.layers))
    return decoder(spec, with_dtype(parameters(spec), spec))


def test_partial_rope(tmp_path):
    """Channels that are not rotated are carried over."""
    text = emit_attention(tmp_path, rope=Rope((1.0, 0.1, 0.01)))
    assert "tensor.extract_slice %heads[0, 0, 6] [%n, 4, 4] [1, 1, 1]" in text
    assert_parses(text, tmp_path / "model.mlir")


def test_attention_switches(tmp_path):
    text = emit_attention(tmp_path, scale=0.5, window=9, chunk=16, softcap=50.0, sinks=True)
    assert '@layer0.sinks : tensor<2x4xbf16> from "model.layers.{0}.self_attn.sinks"' in text
    assert "sinks(%sinks_weight : tensor<4xbf16>) outs(" in text
    assert "{scale = 0.5 : f32, softcap = 50.0 : f32, window = 9 : i64, chunk = 16 : i64}" in text
    assert_parses(text, tmp_path / "model.mlir")


@pytest.mark.parametrize("family", FAMILIES)
def test_block(tmp_path, family):
    text = emit(tmp_path, CONFIGS[family], block_name(family))
    assert_parses(text, tmp_path / "block.mlir")
    assert re.findall(r"func\.func (?:private )?@(\w+)", text) == ["block"]
    assert re.findall(r"moe\.parameter @(\w+)", text) == ["router", "gate", "up", "down"]
    assert f'from "{block_name(family)}.gate.weight"' in text
    assert f'from "{block_name(family)}.experts.{{0}}.' in text


def test_other_name_of_a_block(tmp_path):
    by_mlp = emit(tmp_path, CONFIGS["mixtral"], "model.layers.1.mlp")
    assert by_mlp == emit(tmp_path, CONFIGS["mixtral"], "model.layers.1.block_sparse_moe")


@pytest.mark.parametrize("name", ["model.layers.3.mlp", "model.layers.-1.mlp", "model.layers.0.self_attn", "mlp"])
def test_no_such_block(tmp_path, name):
    with pytest.raises(Error) as error:
        emit(tmp_path, CONFIGS["olmoe"], name)
    assert str(error.value) == f"{name}: expected a block from model.layers.0.mlp to model.layers.2.mlp"


def test_dense_block(tmp_path):
    with pytest.raises(Error, match="model.layers.3.mlp: expected a block with experts, got a dense one"):
        emit(tmp_path, CONFIGS["qwen3_moe"] | SWITCHED["qwen3_moe"], "model.layers.3.mlp")


@pytest.mark.parametrize("family", FAMILIES)
def test_text_does_not_grow(tmp_path, family):
    """Depth and experts change numbers in the text, not the number of its lines."""
    experts = "num_local_experts" if family == "mixtral" else "num_experts"
    small = emit(tmp_path, CONFIGS[family])
    large = emit(tmp_path, CONFIGS[family] | {"num_hidden_layers": 61, experts: 257})
    assert large.count("\n") == small.count("\n")
    assert len(large) < 1.05 * len(small)


def test_layers_of_one_kind_share_a_function(tmp_path):
    text = emit(tmp_path, CONFIGS["qwen3_moe"] | SWITCHED["qwen3_moe"])
    assert re.findall(r"func\.func private @(\w+)", text) == ["layer0", "layer1"]
    source = '"model.layers.{0}.mlp.up_proj.weight" at [[0, 2, 3, 4]]'
    assert f"@layer0.dense_up : tensor<4x51x44xbf16> from {source}" in text
    assert "@layer1.up : tensor<2x9x19x44xbf16>" in text
    assert len(re.findall("func.call @layer", text)) == 2


def test_tied_embedding(tmp_path):
    assert "@head" in emit(tmp_path, CONFIGS["olmoe"])
    assert "@head" not in emit(tmp_path, CONFIGS["olmoe"] | {"tie_word_embeddings": True})


@pytest.mark.parametrize("dtype", [None, "float64"])
def test_shapes_only_needs_a_dtype(tmp_path, dtype):
    write_config(tmp_path, CONFIGS["olmoe"] | {"dtype": dtype})
    with pytest.raises(Error, match=f"config.json: dtype: expected one of float32, bfloat16, float16 .*, got {dtype}"):
        import_checkpoint(tmp_path, shapes_only=True)
