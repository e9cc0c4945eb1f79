# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Describes a package for people, from its manifest alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moec.errors import Error

_BYTES = {"f64": 8, "i64": 8, "f32": 4, "i32": 4, "f16": 2, "bf16": 2, "i8": 1, "u8": 1, "bool": 1}


def read_manifest(package: Path) -> dict[str, Any]:
    """The package's manifest.

    Raises
    ------
    Error
        If it cannot be read, or is of another format.
    """
    path = package / "manifest.json"
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Error(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise Error(f"{path}: expected JSON, got: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != 1:
        raise Error(f"{path}: expected a manifest of format 1")
    return manifest


def describe(package: Path) -> Iterator[str]:
    """Lines that say what the package is: model, target, functions, parameters, sizes.

    Raises
    ------
    Error
        As `read_manifest`.
    """
    manifest = read_manifest(package)
    compiler = manifest["compiler"]
    yield f"{package}: {compiler['name']} {compiler['version']}, compute {manifest['compute']}"
    if manifest["model"]:
        yield "model"
        for name, value in manifest["model"].items():
            yield f"  {name:<14}{json.dumps(value)}"
    target = manifest["target"]
    yield f"target {target['triple']}"
    for level in target["levels"]:
        yield f"  {level['isa']:<14}{' '.join(level['features'])}"
    yield "files"
    for part in (manifest["module"], manifest["weights"]):
        if part:
            yield f"  {part['file']:<24}{size(part['bytes']):>12}"
    yield "functions"
    for function in manifest["functions"]:
        yield f"  {function['name']}"
        for argument in function["arguments"]:
            yield f"    {argument['kind']:<8}{argument['name']:<12}{_type(argument)}"
    yield "parameters"
    for parameter in manifest["parameters"]:
        count = math.prod(parameter["shape"]) * _BYTES[parameter["dtype"]]
        yield f"  {parameter['name']:<24}{size(count):>12}  {_type(parameter)}{_packing(parameter)}"


def size(count: int) -> str:
    """A number of bytes in the largest binary unit that leaves at least 1."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.1f} {unit}" if unit != "B" else f"{count} B"
        count /= 1024
    return f"{count:.1f} GiB"


def _packing(parameter: dict[str, Any]) -> str:
    """The format of a packed parameter, and how far its elements are from the checkpoint's."""
    error = parameter.get("error")
    text = f"  {parameter['format']}" if "format" in parameter else ""
    return text + (f", root mean square error {error['rms']:.1%}, largest {error['largest']:.1%}" if error else "")


def _type(described: dict[str, Any]) -> str:
    return f"{described['dtype']}[{', '.join(map(str, described['shape']))}]"
