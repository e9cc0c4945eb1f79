# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Headers of safetensors files, against the parameters that a model needs. Data of tensors is never read.

The format: 8 bytes with the length of the header, little-endian; the header, a JSON object that gives each tensor's
dtype, shape and offsets in the data; the data, without holes (https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moec.errors import Error
from moec.hf.weights import Fp8, Parameter, Stack

# What the parameter program makes of them, and bytes of one element.
_DTYPES = {
    "F32": ("f32", 4),
    "BF16": ("bf16", 2),
    "F16": ("f16", 2),
    "U8": ("i8", 1),
    "F8_E4M3": ("f8E4M3FN", 1),
}
_MAX_HEADER = 100_000_000  # the format's own limit, in bytes


@dataclass(frozen=True)
class Tensor:
    """A tensor's place and type; `dtype` as MLIR says it."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


def with_dtypes(parameters: list[Parameter], folder: Path, unused: str = "") -> list[Parameter]:
    """Fill in each parameter's dtype from the checkpoint's headers; what has 8 bits there is expanded.

    Parameters
    ----------
    unused : str
        Pattern of further tensors that the checkpoint may have.

    Raises
    ------
    Error
        If a file is damaged, a tensor is missing, too many, of another shape or an unsupported dtype, or the tensors of
        one parameter differ in dtype. The message names file, tensor, what was expected and what was found.
    """
    tensors = read_tensors(folder)

    def resolve(stack: Stack) -> Parameter:
        dtype = _match(stack, tensors, folder)
        if dtype != "f8E4M3FN":
            return replace(stack, dtype=dtype)
        fp8 = Fp8.of(stack)
        _match(fp8.scales, tensors, folder)
        return fp8

    resolved = [parameter.map_stacks(resolve) for parameter in parameters]
    wanted = {name for parameter in resolved for stack in parameter.stacks for name in stack.tensors()}
    for name in sorted(name for name in tensors.keys() - wanted if not re.fullmatch(unused, name)):
        raise Error(f"{tensors[name].file}: {name}: expected no such tensor, got shape {list(tensors[name].shape)}")
    return resolved


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint in one file or, with model.safetensors.index.json, in several.

    Raises
    ------
    Error
        If a file is missing or damaged, or the index and the files do not agree.
    """
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return read_header(folder / "model.safetensors")
    files = _read_index(index)
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(files.values())):
        for name, tensor in read_header(folder / file).items():
            if files.get(name) != file:
                raise Error(f"{index}: {name}: expected {file}, got {files.get(name, 'no entry')}")
            tensors[name] = tensor
    for name in files.keys() - tensors.keys():
        raise Error(f"{folder / files[name]}: {name}: expected a tensor, got none")
    return tensors


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of one file.

    Raises
    ------
    Error
        If the file cannot be read, is truncated, or its header is not true.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _MAX_HEADER):
                raise Error(f"{path}: expected a header of at most {max(size - 8, 0)} bytes, got {length}")
            header = json.loads(file.read(length).decode("utf-8"))
    except OSError as error:
        raise Error(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Error(f"{path}: expected a header in JSON, got: {error}") from None
    if not isinstance(header, dict):
        raise Error(f"{path}: expected a JSON object as header, got {json.dumps(header)[:80]}")
    header.pop("__metadata__", None)
    _check_offsets(path, {name: _offsets(path, name, entry) for name, entry in header.items()}, size - 8 - length)
    return {name: Tensor(path, _DTYPES[e["dtype"]][0], tuple(e["shape"])) for name, e in header.items()}


def _match(stack: Stack, tensors: dict[str, Tensor], folder: Path) -> str:
    """The dtype that all tensors of a stack have."""
    dtype = stack.dtype
    for name in stack.tensors():
        tensor = tensors.get(name)
        if tensor is None:
            raise Error(f"{folder}: {name}: expected a tensor of shape {list(stack.shape)}, got none")
        if tensor.shape != stack.shape:
            raise Error(f"{tensor.file}: {name}: expected shape {list(stack.shape)}, got {list(tensor.shape)}")
        if not dtype and tensor.dtype == "i8":
            raise Error(f"{tensor.file}: {name}: expected floats, got i8")
        dtype = dtype or tensor.dtype
        if tensor.dtype != dtype:
            raise Error(f"{tensor.file}: {name}: expected {dtype} as in {stack.pattern}, got {tensor.dtype}")
    return dtype


def _read_index(path: Path) -> dict[str, str]:
    """File of each tensor."""
    try:
        files = json.loads(path.read_text("utf-8"))["weight_map"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise Error(f"{path}: expected a JSON object with a weight_map, got: {error}") from None
    if not isinstance(files, dict) or not files:
        raise Error(f"{path}: weight_map: expected an object with entries, got {json.dumps(files)[:80]}")
    for name, file in files.items():
        if not isinstance(file, str) or not file or Path(file).name != file:
            raise Error(f"{path}: {name}: expected the name of a file, got {json.dumps(file)}")
    return files


def _offsets(path: Path, name: str, entry: Any) -> tuple[int, int]:
    """Begin and end of a tensor's data, if its entry makes sense by itself."""
    expected = {"dtype", "shape", "data_offsets"}
    if not isinstance(entry, dict) or entry.keys() != expected:
        raise Error(f"{path}: {name}: expected {', '.join(sorted(expected))}, got {json.dumps(entry)[:80]}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in _DTYPES:
        raise Error(f"{path}: {name}: expected dtype {', '.join(_DTYPES)}, got {json.dumps(dtype)}")
    if not _are_sizes(shape):
        raise Error(f"{path}: {name}: expected a shape, got {json.dumps(shape)[:80]}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise Error(f"{path}: {name}: expected begin and end of its data, got {json.dumps(offsets)[:80]}")
    begin, end = offsets
    size = math.prod(shape) * _DTYPES[dtype][1]
    if end - begin != size:
        raise Error(f"{path}: {name}: expected {size} bytes for {dtype} {shape}, got {end - begin}")
    return begin, end


def _check_offsets(path: Path, offsets: dict[str, tuple[int, int]], size: int) -> None:
    """Tensors must follow each other without holes, up to the end of the file."""
    expected = 0
    for name, (begin, end) in sorted(offsets.items(), key=lambda item: item[1]):
        if begin != expected:
            raise Error(f"{path}: {name}: expected data at offset {expected}, got {begin}")
        if end > size:
            raise Error(f"{path}: {name}: expected data up to offset {end}, got a file that ends at {size}")
        expected = end
    if expected != size:
        raise Error(f"{path}: expected {expected} bytes of data, got {size}")


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**63 for v in value
    )
