# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights in every format: bit for bit what the reference packs, with the errors that the manifest states."""

import json
import subprocess

import numpy as np
import pytest
import rounding
from checkpoints import random_bytes, write_weights

import moec
from moec import ops, reference
from moec.native import find_tool

FORMATS = ("f32", "bf16", "f16", "int8", "q8_0", "q4_0", "mxfp4")
DTYPES = {"float32": "f32", "uint16": "bf16", "float16": "f16", "uint8": "i8"}

LIMITS = {"bf16": (2 - 2**-8) * 2.0**127, "f16": 65520, "q8_0": 65520 * 127, "q4_0": 65520 * 8}
"""Magnitudes that a format cannot hold, where f32 can."""

BOUNDS = {
    "f32": 0,
    "bf16": 2**-8,
    "f16": 2**-11,
    "int8": 0.501 / 127,  # half a unit, and what f32 rounds
    "q8_0": 0.501 / 127 + 2**-11,  # and the rounding of the scale to f16
    "q4_0": 1.001 / 8 + 2**-11,  # one unit: the opposite of the extreme
    "mxfp4": 2 / 8,  # what is nearly 8 becomes 6
}
"""Errors that a format makes, relative to the largest magnitude that shares a scale."""

LEAST = {"bf16": 2**-126, "f16": 2**-14, "int8": 127 * 2**-126, "q8_0": 127 * 2**-14, "q4_0": 2**-11, "mxfp4": 2**-124}
"""Magnitudes that errors are relative to at least: below, scales and elements have fewer digits."""


def packing(name, shape, format, sources):
    """The declaration of a parameter that packs others."""
    packed = reference.pack(*[np.zeros(shape, np.float32)] * len(sources), format=format)
    dtype = DTYPES[str(packed.dtype)]
    word = f"{format} " if dtype == "i8" else ""
    extents = "x".join(map(str, packed.shape))
    return f"moe.parameter @{name} : tensor<{extents}x{dtype}> pack {word}of [{', '.join(sources)}]"


def write_package(folder, tensors, lines, names, dtype="f32"):
    """Compile a module of parameters alone, which is in the target form."""
    checkpoint = write_weights(folder / "checkpoint", tensors, dtype)
    table = ", ".join(f"@{name}" for name in names)
    target = 'llvm.target_triple = "x86_64-unknown-linux-gnu"'
    head = f"module attributes {{{target}, moe.functions = [], moe.levels = [], moe.parameters = [{table}]}} {{"
    command = [find_tool("moe-compile"), "-", f"--checkpoint={checkpoint}", "-o", folder / "package"]
    return subprocess.run(command, input="\n".join([head, *lines, "}"]), capture_output=True, text=True)


def read_package(folder, shapes):
    """Arrays of the archive by name, and the manifest's parameters by name."""
    data = (folder / "package" / "weights.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, like in shapes.items():
        begin = 8 + length + header[name]["data_offsets"][0]
        arrays[name] = np.frombuffer(data, like.dtype, like.size, begin).reshape(like.shape)
    manifest = json.loads((folder / "package" / "manifest.json").read_text())
    return arrays, {parameter["name"]: parameter for parameter in manifest["parameters"]}


def pack_all(folder, sources, dtype="f32"):
    """Pack equally shaped sources side by side, in all formats."""
    shape, names = sources[0].shape, [f"@w{i}" for i in range(len(sources))]
    tensors = {f"w{i}": source for i, source in enumerate(sources)}
    extents = "x".join(map(str, shape))
    lines = [f'moe.parameter {name} : tensor<{extents}x{dtype}> from "{name[1:]}"' for name in names]
    lines += [packing(format, shape, format, names) for format in FORMATS]
    result = write_package(folder, tensors, lines, FORMATS, dtype)
    assert result.returncode == 0, result.stderr
    return result.stderr


def check(folder, sources):
    """All formats are packed as the reference does, and their errors are those stated."""
    expected = {format: reference.pack(*sources, format=format) for format in FORMATS}
    arrays, parameters = read_package(folder, expected)
    for format in FORMATS:
        np.testing.assert_array_equal(arrays[format], expected[format], format)
        assert parameters[format]["format"] == format
        stated = parameters[format].get("error", {"largest": 0, "rms": 0})
        largest, rms = measure(arrays[format], format, sources)
        # The manifest has four digits.
        np.testing.assert_allclose([stated["largest"], stated["rms"]], [largest, rms], rtol=1e-3, err_msg=format)
        assert largest <= BOUNDS[format], format


def measure(packed, format, sources):
    """The largest error of a packed weight, relative to what its bound is relative to, and the root mean square."""
    out, columns = sources[0].shape[-2:]
    elements = np.concatenate(sources, axis=-2).astype(np.float64)
    decoded = np.concatenate(reference.unpack(packed, format, out, columns, len(sources)), axis=-2)
    error = np.abs(decoded - elements)
    total = np.square(elements).sum()
    rms = np.sqrt(np.square(error).sum() / total) if total else 0
    return (error / units(elements, format)).max(initial=0), rms


def units(elements, format):
    """The magnitude that the bound of each element's error is relative to."""
    magnitudes = np.abs(elements)
    if format == "int8":
        magnitudes = np.broadcast_to(magnitudes.max(axis=-1, keepdims=True, initial=0), elements.shape)
    elif format in ("q8_0", "q4_0", "mxfp4"):
        columns = elements.shape[-1]
        padded = np.pad(magnitudes, [(0, 0)] * (elements.ndim - 1) + [(0, -columns % 32)])
        groups = padded.reshape(*padded.shape[:-1], padded.shape[-1] // 32, 32).max(axis=-1)
        magnitudes = np.repeat(groups, 32, axis=-1)[..., :columns]
    return np.maximum(magnitudes, LEAST.get(format, 1))


def random_matrix(*shape):
    return np.random.default_rng(shape[-1]).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (32, 64), (33, 65), (3, 2, 47, 96), (1000, 704), (0, 7)])
@pytest.mark.parametrize("sources", [1, 2])
def test_extents(shape, sources, tmp_path):
    matrices = list(random_matrix(sources, *shape))
    pack_all(tmp_path, matrices)
    check(tmp_path, matrices)


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_small_sources(dtype, tmp_path):
    """What is read in another type is packed as its values."""
    matrix = (random_matrix(33, 65).view(np.uint32) & 0xFFFF0000).view(np.float32)
    matrix[5] = 0
    pack_all(tmp_path, [matrix], dtype)
    check(tmp_path, [matrix])


def test_magnitudes(tmp_path):
    """Zeros of both signs, subnormal numbers and scales, powers of two, ties, and all of them in one group."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((1024, 96))
    rows = [
        normal * 2.0 ** rng.integers(-149, 12, (1024, 1)),
        normal * 2.0 ** rng.integers(-149, 12, (1024, 96)),
        rng.choice([0, -0.0, 1, -1, 2.0**-149, 2.0**-24], (256, 96)) * 2.0 ** rng.integers(-20, 10, (256, 1)),
        np.copysign(2.0 ** rng.integers(-149, 15, (256, 96)), normal[:256]),
        ties(rng, 127, 2),
        ties(rng, -8, 2),
        ties(rng, 6, 8),
        ties(rng, 7.5, 8),
    ]
    matrix = np.concatenate(rows).astype(np.float32)
    pack_all(tmp_path, [matrix])
    check(tmp_path, [matrix])


def test_tiny(tmp_path):
    """Below the least scale with all its digits, errors are relative to that one."""
    matrix = random_matrix(33, 65) * np.float32(2.0**-16)
    pack_all(tmp_path, [matrix])
    check(tmp_path, [matrix])


def ties(rng, extreme, denominator):
    """Rows of multiples of 1 / denominator up to an extreme that each group has."""
    most = int(abs(extreme) * denominator)
    rows = rng.integers(-most, most, (64, 3, 32), endpoint=True) / denominator
    rows[..., 7] = extreme
    return rows.reshape(64, 96)


@pytest.mark.parametrize("sources", [1, 2])
def test_mxfp4_stays(sources, tmp_path):
    """Packing 4-bit floats as 4-bit floats is exact, though not all bytes are the same."""
    tensors = random_bytes({"blocks": [3, 47, 5, 16], "scales": [3, 47, 5]})
    tensors["scales"][0] = np.random.default_rng(2).integers(0, 253, (47, 5))
    lines = [
        'moe.parameter @blocks : tensor<3x47x5x16xi8> from "blocks"',
        'moe.parameter @scales : tensor<3x47x5xi8> from "scales"',
        "moe.parameter @w : tensor<3x47x160xbf16> mxfp4 of [@blocks, @scales]",
        packing("p", (3, 47, 160), "mxfp4", ["@w"] * sources),
    ]
    result = write_package(tmp_path, tensors, lines, ["p"])
    assert (result.returncode, result.stderr) == (0, "")
    weight = reference.mxfp4(tensors["blocks"], tensors["scales"])
    arrays, parameters = read_package(tmp_path, {"p": reference.pack(*[weight] * sources, format="mxfp4")})
    assert "error" not in parameters["p"]
    for unpacked in reference.unpack(arrays["p"], "mxfp4", 47, 160, sources):
        np.testing.assert_array_equal(unpacked, weight)


def test_says_the_error(tmp_path):
    remarks = [line for line in pack_all(tmp_path, [random_matrix(33, 65)]).splitlines() if "remark:" in line]
    assert len(remarks) == len(FORMATS) - 1, "expected a remark on all but f32"
    _, parameters = read_package(tmp_path, {})
    error = parameters["q4_0"]["error"]
    said = f"packed as q4_0: root mean square error {error['rms']:.2e}, largest {error['largest']:.2e}"
    assert sum(said in remark for remark in remarks) == 1


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, "limit"])
@pytest.mark.parametrize("format", FORMATS[1:])
def test_refuses(format, value, tmp_path):
    """What a format cannot hold is named, with its tensor and place; what is next to it can be held."""
    least = np.float32(LIMITS.get(format, np.inf))
    tensors = {f"layers.{i}.w": random_matrix(33, 65) for i in range(3)}
    tensors["layers.0.w"][1, 1] = np.nextafter(least, np.float32(0)) / (1 if np.isfinite(least) else 2)
    tensors["layers.1.w"][32, 64] = least if value == "limit" else value
    shape = (3, 33, 65)
    lines = ['moe.parameter @w : tensor<3x33x65xf32> from "layers.{0}.w"', packing("p", shape, format, ["@w", "@w"])]
    result = write_package(tmp_path, tensors, lines, ["p"])
    assert result.returncode == 1
    expected = f"magnitudes below {least:g}" if format in LIMITS else "finite elements"
    got = f"{least if value == 'limit' else value:g}"
    place = "in row 32, column 64 of a matrix"
    message = f"error: tensor 'layers.1.w': expected {expected} to pack as {format}, got {got} {place}\n"
    assert message in result.stderr
    assert result.stderr.count("error:") == 1


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16"])
def test_copies_what_is_not_finite(dtype, tmp_path):
    """A format that is the checkpoint's own keeps all bits."""
    matrix = np.array([[np.inf, -np.inf, -0.0, 1.5, 0]], np.float32)
    lines = [f'moe.parameter @w : tensor<1x5x{dtype}> from "w"', packing("p", (1, 5), dtype, ["@w"])]
    result = write_package(tmp_path, {"w": matrix}, lines, ["p"], dtype)
    assert (result.returncode, result.stderr) == (0, "")
    arrays, _ = read_package(tmp_path, {"p": reference.pack(matrix, format=dtype)})
    np.testing.assert_array_equal(reference.unpack(arrays["p"], dtype, 1, 5)[0], matrix)


@pytest.mark.parametrize("format", FORMATS)
def test_products_use_it(format, tmp_path):
    """All products but the router's multiply with what the format makes of their weights."""
    program, matrix, gate = ops.Program(), random_matrix(33, 65), random_matrix(7, 65)
    weight, router = program.weight("w", matrix), program.weight("router", gate)

    @program.function(x=ops.f32("T", 65))
    def product(x):
        scores = ops.score(ops.tanh(ops.linear(x, router)), "sigmoid")
        return ops.linear(x, weight), ops.select(scores, 2), scores

    moec.compile(program, tmp_path / "package", format=format)
    x = random_matrix(5, 65)
    y, _, scores = moec.load(tmp_path / "package").product(x)
    (rounded,) = reference.unpack(reference.pack(matrix, format=format), format, 33, 65)
    # Sums of 32 products may be scaled, which takes some roundings more.
    assert (np.abs(y - reference.grouped_matmul(x, rounded)) <= rounding.product(x, rounded, more=12)).all()
    logits = reference.grouped_matmul(x, gate)
    # tanh and the sigmoid make errors of the logits smaller, and few units of their own.
    np.testing.assert_allclose(scores, reference.score(np.tanh(logits), "sigmoid"), rtol=0, atol=2**-18)
    _, parameters = read_package(tmp_path, {})
    formats = {name: parameter["format"] for name, parameter in parameters.items()}
    assert formats == {"w.packed": format, "router.packed": "f32"}
