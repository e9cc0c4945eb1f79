# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random views of random tensors, and views of those, as a package holds them."""

import json
import random
import struct
import subprocess

import numpy as np
import pytest
from checkpoints import write_weights

from moec import reference
from moec.native import find_tool

COUNT = 40
DIMS = "abcd"


def random_index(rng, shape, extent):
    """An index below an extent, as an affine expression of dimensions that run through a shape."""
    while True:
        (d, n), (e, _) = (rng.choice(list(zip(DIMS, shape))) for _ in range(2))
        step, offset, divisor = rng.randint(1, 3), rng.randint(0, 3), rng.randint(1, 4)
        text = rng.choice(
            [
                str(rng.randrange(extent)),
                d,
                f"{d} * {step} + {offset}",
                f"-{d} + {n - 1 + offset}",
                f"{d} mod {extent}",
                f"({d} floordiv {divisor}) * {step} + {e} mod {divisor} + {offset}",
            ]
        )
        values = eval(python(text), dict(zip(DIMS, np.indices(shape))))
        if np.min(values) >= 0 and np.max(values) < extent:
            return text


def python(expression):
    return expression.replace("floordiv", "//").replace("mod", "%")


def random_view(rng, source, name, shape, values):
    """The declaration of a view, and its elements."""
    view = [rng.randint(1, 8) for _ in range(rng.randint(1, 4))]
    dims = ", ".join(DIMS[: len(view)])
    indices = ", ".join(random_index(rng, view, extent) for extent in shape)
    text = f"moe.parameter @{name} : {tensor(view)} view of @{source} by affine_map<({dims}) -> ({indices})>"
    return text, reference.view(values, view, eval(f"lambda {dims}: ({python(indices)},)"))


def tensor(shape):
    return f"tensor<{'x'.join(map(str, shape))}xf32>"


def is_accepted(lines):
    """Bounds are not close where a dimension stands in an index twice: some views are refused that need not be."""
    return (
        subprocess.run([find_tool("moe-opt")], input="\n".join(lines), text=True, capture_output=True).returncode == 0
    )


def read_package(folder):
    """The elements of each parameter, perhaps followed by padding."""
    raw = (folder / "weights.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    spans = {name: [8 + length + offset for offset in entry["data_offsets"]] for name, entry in header.items()}
    return {name: np.frombuffer(raw[begin:end], np.float32) for name, (begin, end) in spans.items()}


@pytest.mark.parametrize("seed", range(3))
def test_random_views(seed, tmp_path):
    rng, tensors, program, expected = random.Random(seed), {}, [], {}
    for number in range(COUNT):
        shape = [rng.randint(1, 6) for _ in range(rng.randint(1, 4))]
        values = np.random.default_rng(number).standard_normal(shape).astype(np.float32)
        stacked = rng.randint(0, min(2, len(shape) - 1))
        pattern = f"w{number}" + "".join(f".{{{i}}}" for i in range(stacked))
        tensors |= {pattern.format(*index): values[index] for index in np.ndindex(*shape[:stacked])}
        source, first, second = (f"{word}{number}" for word in ("source", "first", "second"))
        lines = [f'moe.parameter @{source} : {tensor(shape)} from "{pattern}"']
        line, view = random_view(rng, source, first, shape, values)
        again, view_of_view = random_view(rng, first, second, view.shape, view)
        lines += [line, again]
        if is_accepted(lines):
            program += lines
            expected |= {first: view, second: view_of_view}
    assert len(expected) > COUNT

    names = list(tensors)
    rng.shuffle(names)  # so that those of one stack are not neighbours
    checkpoint = write_weights(tmp_path / "checkpoint", {name: tensors[name] for name in names}, "f32")
    table = ", ".join(f"@{name}" for name in expected)
    target = 'llvm.target_triple = "x86_64-unknown-linux-gnu"'
    head = f"module attributes {{{target}, moe.functions = [], moe.levels = [], moe.parameters = [{table}]}} {{"
    lines = [head, *program, "}"]
    command = [find_tool("moe-compile"), "-", f"--checkpoint={checkpoint}", "-o", tmp_path / "package"]
    subprocess.run(command, input="\n".join(lines), text=True, check=True)
    found = read_package(tmp_path / "package")
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name][: values.size], values.ravel())
