# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Headers of weights' files: each way in which they can be wrong has an error that names the place."""

import json
import os
import struct

import pytest
from tiny import ALL, CONFIGS, shapes, write_config, write_safetensors, write_tensors

from moec import Error, import_checkpoint
from moec.hf.checkpoint import read_header

UP = "model.layers.1.mlp.experts.6.up_proj.weight"
UP_PATTERN = "model.layers.{0}.mlp.experts.{1}.up_proj.weight"


@pytest.fixture
def folder(tmp_path):
    return write_config(tmp_path, CONFIGS["olmoe"])


def write_sharded(folder, files):
    """Several files and their index; `files` has the tensors of each."""
    for name, tensors in files.items():
        write_tensors(folder / name, tensors)
    weight_map = {tensor: name for name, tensors in files.items() for tensor in tensors}
    write_index(folder, weight_map)
    return weight_map


def write_index(folder, weight_map):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def halves(tensors):
    names = sorted(tensors)
    middle = len(names) // 2
    return {
        "model-00001-of-00002.safetensors": {name: tensors[name] for name in names[:middle]},
        "model-00002-of-00002.safetensors": {name: tensors[name] for name in names[middle:]},
    }


def error_of(folder):
    with pytest.raises(Error) as error:
        import_checkpoint(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_one_file_or_several(folder, tmp_path):
    write_tensors(folder / "model.safetensors", shapes(folder))
    whole = import_checkpoint(folder)
    sharded = write_config(tmp_path / "sharded", CONFIGS["olmoe"])
    write_sharded(sharded, halves(shapes(sharded)))
    assert import_checkpoint(sharded) == whole


def test_data_is_not_read(folder):
    """A sparse file of many gigabytes would take minutes to read."""
    write_config(folder, CONFIGS["olmoe"] | {"vocab_size": 2**28})
    path = folder / "model.safetensors"
    tensors, header, end = shapes(folder), {}, 0
    for name, shape in tensors.items():
        count = 2
        for extent in shape:
            count *= extent
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + count]}
        end += count
    write_safetensors(path, header, b"")
    os.truncate(path, path.stat().st_size + end)
    assert end > 2**35
    assert "tensor<268435456x36xbf16>" in import_checkpoint(folder)


def test_types_of_parameters(folder):
    tensors = shapes(folder)
    dtypes = {name: "BF16" for name in tensors if "norm" not in name}
    write_tensors(folder / "model.safetensors", tensors, dtypes)
    text = import_checkpoint(folder)
    assert "@layer0.up : tensor<3x7x23x36xbf16>" in text
    assert "@layer0.attn_norm : tensor<3x36xf32>" in text


def test_missing_tensor(folder):
    tensors = shapes(folder)
    del tensors[UP]
    write_tensors(folder / "model.safetensors", tensors)
    assert error_of(folder) == f"{folder}: {UP}: expected a tensor of shape [23, 36], got none"


def test_extra_tensor(folder):
    write_tensors(folder / "model.safetensors", shapes(folder) | {"model.layers.3.scale": [2]})
    expected = f"{folder / 'model.safetensors'}: model.layers.3.scale: expected no such tensor, got shape [2]"
    assert error_of(folder) == expected


def test_unused_tensor(tmp_path):
    """The layer after the last, which only guesses further tokens, may be there; nothing else may."""
    folder = write_config(tmp_path, ALL["glm4_moe"][0] | {"torch_dtype": "float32"})
    path, tensors = folder / "model.safetensors", shapes(folder)
    write_tensors(path, tensors | {"model.layers.3.eh_proj.weight": [2]})
    assert "eh_proj" not in import_checkpoint(folder)
    write_tensors(path, tensors | {"model.layers.30.eh_proj.weight": [2]})
    assert error_of(folder) == f"{path}: model.layers.30.eh_proj.weight: expected no such tensor, got shape [2]"


def test_misshapen_tensor(folder):
    write_tensors(folder / "model.safetensors", shapes(folder) | {UP: [36, 23]})
    assert error_of(folder) == f"{folder / 'model.safetensors'}: {UP}: expected shape [23, 36], got [36, 23]"


def test_dtypes_within_one_parameter(folder):
    write_tensors(folder / "model.safetensors", shapes(folder), {UP: "BF16"})
    assert error_of(folder) == f"{folder / 'model.safetensors'}: {UP}: expected f32 as in {UP_PATTERN}, got bf16"


@pytest.mark.parametrize("dtype", ["F64", "F8_E5M2", "Q9", 3])
def test_unsupported_dtype(folder, dtype):
    header = {"x": {"dtype": dtype, "shape": [2], "data_offsets": [0, 4]}}
    write_safetensors(folder / "model.safetensors", header, bytes(4))
    known = "F32, BF16, F16, U8, F8_E4M3"
    expected = f"{folder / 'model.safetensors'}: x: expected dtype {known}, got {json.dumps(dtype)}"
    assert error_of(folder) == expected


def test_no_weights(folder):
    assert error_of(folder) == f"{folder / 'model.safetensors'}: No such file or directory"


@pytest.mark.parametrize("kept", [0, 7, 8, 100, -1])
def test_truncated(folder, kept):
    path = folder / "model.safetensors"
    write_tensors(path, shapes(folder))
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    assert error_of(folder).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "content, message",
    [
        (struct.pack("<Q", 2**63) + b"{}", "expected a header of at most 2 bytes, got 9223372036854775808"),
        (struct.pack("<Q", 2) + b"{]", "expected a header in JSON"),
        (struct.pack("<Q", 1) + b"\xff", "expected a header in JSON"),
        (struct.pack("<Q", 2) + b"[]", "expected a JSON object as header, got []"),
        (struct.pack("<Q", 2) + b"{}rest", "expected 0 bytes of data, got 4"),
    ],
)
def test_no_header(folder, content, message):
    path = folder / "model.safetensors"
    path.write_bytes(content)
    assert error_of(folder).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"data_offsets": [0, 12]}, "expected 8 bytes for F32 [2], got 12"),
        ({"data_offsets": [4, 12]}, "expected data at offset 0, got 4"),
        ({"data_offsets": [-4, 4]}, "expected begin and end of its data, got [-4, 4]"),
        ({"data_offsets": [0]}, "expected begin and end of its data, got [0]"),
        ({"data_offsets": "08"}, 'expected begin and end of its data, got "08"'),
        ({"shape": [2.0]}, "expected a shape, got [2.0]"),
        ({"shape": [-2]}, "expected a shape, got [-2]"),
        ({"shape": [2**70]}, "expected a shape, got [1180591620717411303424]"),
        ({"shape": [2**40, 2**40], "data_offsets": [0, 8]}, "expected 4835703278458516698824704 bytes"),
        ({"shape": [3], "data_offsets": [0, 12]}, "expected data up to offset 12, got a file that ends at 8"),
        ({"strides": [1]}, "expected data_offsets, dtype, shape, got"),
    ],
)
def test_lying_header(folder, change, message):
    path = folder / "model.safetensors"
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | change
    write_safetensors(path, {"x": entry}, bytes(8))
    assert error_of(folder).startswith(f"{path}: x: {message}")


def test_overlapping_tensors(folder):
    path = folder / "model.safetensors"
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    write_safetensors(path, {"x": entry, "y": entry}, bytes(8))
    assert error_of(folder) == f"{path}: y: expected data at offset 8, got 0"


def test_empty_tensors(folder):
    """They take no bytes, wherever they stand."""
    path = folder / "model.safetensors"
    empty = {"dtype": "F32", "shape": [0, 3], "data_offsets": [0, 0]}
    entry = {"dtype": "BF16", "shape": [], "data_offsets": [0, 2]}
    write_safetensors(path, {"__metadata__": {"format": "pt"}, "x": entry, "y": empty}, bytes(2))
    assert {name: tensor.shape for name, tensor in read_header(path).items()} == {"x": (), "y": (0, 3)}


def test_file_of_index_is_missing(folder):
    files = halves(shapes(folder))
    write_sharded(folder, files)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert error_of(folder) == f"{folder / 'model-00002-of-00002.safetensors'}: No such file or directory"


def test_index_names_a_tensor_that_is_not_there(folder):
    weight_map = write_sharded(folder, halves(shapes(folder)))
    file = "model-00001-of-00002.safetensors"
    write_index(folder, weight_map | {"extra": file})
    assert error_of(folder) == f"{folder / file}: extra: expected a tensor, got none"


def test_index_names_another_file(folder):
    weight_map = write_sharded(folder, halves(shapes(folder)))
    first, second = sorted(set(weight_map.values()))
    moved = min(name for name, file in weight_map.items() if file == first)
    write_index(folder, weight_map | {moved: second})
    index = folder / "model.safetensors.index.json"
    assert error_of(folder) == f"{index}: {moved}: expected {first}, got {second}"


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/passwd", "", 3])
def test_index_leads_elsewhere(folder, file):
    write_index(folder, {"x": file})
    index = folder / "model.safetensors.index.json"
    assert error_of(folder) == f"{index}: x: expected the name of a file, got {json.dumps(file)}"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": []}'])
def test_not_an_index(folder, text):
    index = folder / "model.safetensors.index.json"
    index.write_text(text)
    assert error_of(folder).startswith(f"{index}: ")
