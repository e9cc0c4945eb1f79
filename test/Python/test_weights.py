# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights that are derived from the checkpoint's tensors: how they are declared, and how the tensors are checked."""

import dataclasses
import re

import pytest
from tiny import CONFIGS, write_config, write_tensors

from moec import Error
from moec.hf.build.block import block
from moec.hf.build.decoder import decoder
from moec.hf.checkpoint import with_dtypes
from moec.hf.families import read_spec
from moec.hf.parameters import parameters, with_dtype
from moec.hf.weights import Fused

EXPERTS = "model.layers.{0}.mlp.experts."


@pytest.fixture
def spec(tmp_path):
    """OLMoE with gate and up interleaved in one tensor, and down of 4 bits; three layers of seven experts."""
    config = CONFIGS["olmoe"] | {"intermediate_size": 64, "torch_dtype": "bfloat16"}
    spec = read_spec(write_config(tmp_path, config))
    gate_up = EXPERTS + "gate_up_proj"
    names = spec.names | {
        "gate": Fused(gate_up, (7, 36, 128), "e, i, 2 * o"),
        "up": Fused(gate_up, (7, 36, 128), "e, i, 2 * o + 1"),
        "down": Fused(EXPERTS + "down_proj", (7, 36, 64), mxfp4=True),
        "q": Fused("model.layers.{0}.qkv", (72, 36), "o + 12, i"),
    }
    return dataclasses.replace(spec, names=names)


def declarations(text):
    return re.findall(r"moe\.parameter @(\S+) : tensor<(\S+)> (.*)", text)


def test_declarations(spec):
    found = declarations(decoder(spec, with_dtype(parameters(spec), spec)))
    for expected in [
        ("layer0.qkv", "3x72x36xbf16", 'from "model.layers.{0}.qkv"'),
        ("layer0.q", "3x36x36xbf16", "view of @layer0.qkv by affine_map<(l, o, i) -> (l, o + 12, i)>"),
        ("layer0.mlp.experts.gate_up_proj", "3x7x36x128xbf16", f'from "{EXPERTS}gate_up_proj"'),
        (
            "layer0.up",
            "3x7x64x36xbf16",
            "view of @layer0.mlp.experts.gate_up_proj by affine_map<(l, e, o, i) -> (l, e, i, 2 * o + 1)>",
        ),
        ("layer0.mlp.experts.down_proj_blocks", "3x7x36x2x16xi8", f'from "{EXPERTS}down_proj_blocks"'),
        ("layer0.mlp.experts.down_proj_scales", "3x7x36x2xi8", f'from "{EXPERTS}down_proj_scales"'),
        (
            "layer0.down",
            "3x7x36x64xbf16",
            "mxfp4 of [@layer0.mlp.experts.down_proj_blocks, @layer0.mlp.experts.down_proj_scales]",
        ),
    ]:
        assert found.count(expected) == 1, expected


def test_block(spec):
    """Of one layer, weights and what they are derived from lose a dimension."""
    text = block(spec, with_dtype(parameters(spec), spec), "model.layers.2.mlp")
    assert declarations(text)[1:] == [
        ("mlp.experts.gate_up_proj", "7x36x128xbf16", 'from "model.layers.2.mlp.experts.gate_up_proj"'),
        ("gate", "7x64x36xbf16", "view of @mlp.experts.gate_up_proj by affine_map<(e, o, i) -> (e, i, 2 * o)>"),
        ("up", "7x64x36xbf16", "view of @mlp.experts.gate_up_proj by affine_map<(e, o, i) -> (e, i, 2 * o + 1)>"),
        ("mlp.experts.down_proj_blocks", "7x36x2x16xi8", 'from "model.layers.2.mlp.experts.down_proj_blocks"'),
        ("mlp.experts.down_proj_scales", "7x36x2xi8", 'from "model.layers.2.mlp.experts.down_proj_scales"'),
        ("down", "7x36x64xbf16", "mxfp4 of [@mlp.experts.down_proj_blocks, @mlp.experts.down_proj_scales]"),
    ]


def write(folder, spec, dtypes):
    """A checkpoint of zeros; a dtype for each end of a name, of the others F32."""
    shapes = {name: list(stack.shape) for p in parameters(spec) for stack in p.stacks for name in stack.tensors()}
    named = {name: dtype for name in shapes for end, dtype in dtypes.items() if name.endswith(end)}
    write_tensors(folder / "model.safetensors", shapes, named)


def test_dtypes_of_a_checkpoint(spec, tmp_path):
    """A view has its source's."""
    write(tmp_path, spec, {"_blocks": "U8", "_scales": "U8", "gate_up_proj": "BF16", "embed_tokens.weight": "F16"})
    dtypes = {parameter.name: parameter.dtype for parameter in with_dtypes(parameters(spec), tmp_path)}
    assert dtypes["layer0.up"] == dtypes["layer0.down"] == "bf16"
    assert (dtypes["layer0.q"], dtypes["embed"]) == ("f32", "f16")


@pytest.mark.parametrize(
    "dtypes, pattern, message",
    [
        ({"_blocks": "U8", "_scales": "BF16"}, EXPERTS + "down_proj_scales", "expected i8 as in {0}, got bf16"),
        ({"_blocks": "U8", "_scales": "U8", "qkv": "U8"}, "model.layers.{0}.qkv", "expected floats, got i8"),
    ],
)
def test_wrong_dtypes(spec, tmp_path, dtypes, pattern, message):
    write(tmp_path, spec, dtypes)
    with pytest.raises(Error) as error:
        with_dtypes(parameters(spec), tmp_path)
    assert str(error.value) == f"{tmp_path / 'model.safetensors'}: {pattern.format(0)}: {message.format(pattern)}"
