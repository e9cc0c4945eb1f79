# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Packages that are not what their manifest says: moe-run ends with 1 and one line that names the file, what was
expected and what was found."""

import re
import shutil
import subprocess

import pytest

import moec
from moec.native import find_tool


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        assert file.read(len(data)) != data
        file.seek(offset)
        file.write(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-64])


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


HASH = "xxh3:[0-9a-f]{32}"

DAMAGES = {
    "changed module": (
        lambda p: overwrite(p / "module.so", 5000, b"ABCD"),
        f"module.so: expected hash {HASH}, got {HASH}",
    ),
    "short module": (lambda p: truncate(p / "module.so"), r"module.so: expected \d+ bytes, got \d+"),
    "no module": (lambda p: (p / "module.so").unlink(), "module.so: No such file or directory"),
    "other weights": (
        lambda p: overwrite(p / "weights.safetensors", 4000, b"\n"),  # white space of another header
        f"weights.safetensors: expected a header with hash {HASH}, got {HASH}",
    ),
    "short weights": (
        lambda p: truncate(p / "weights.safetensors"),
        r"weights.safetensors: tensor '.*': expected offsets within \d+ bytes of data, got \[\d+, \d+\]",
    ),
    "no weights": (lambda p: (p / "weights.safetensors").unlink(), "weights.safetensors: No such file or directory"),
    "no manifest": (lambda p: (p / "manifest.json").unlink(), "manifest.json: No such file or directory"),
    "short manifest": (lambda p: truncate(p / "manifest.json"), "manifest.json: invalid JSON"),
    "later format": (
        lambda p: replace(p / "manifest.json", '"format": 1', '"format": 2'),
        "manifest.json: expected format 1, got 2",
    ),
    "other compiler's module": (
        lambda p: replace(p / "manifest.json", '"build_id": "xxh3:', '"build_id": "xxh3:f'),
        "module.so: expected .*, got .*",
    ),
    "other parameters": (
        lambda p: replace(p / "manifest.json", '"name": "embed"', '"name": "mbed"'),
        "weights.safetensors: expected a tensor 'mbed'",
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damage(tiny_package, tmp_path, case):
    damage, message = DAMAGES[case]
    package = shutil.copytree(tiny_package, tmp_path / "damaged.moe")
    damage(package)
    check_failure([package, "--prompt-ids=1"], f"{re.escape(str(package))}/{message}")


def test_no_package(tmp_path):
    check_failure([tmp_path / "none"], f"{tmp_path}/none/manifest.json: No such file or directory")


def test_unknown_level(tiny_package):
    message = f"{tiny_package}/module.so: expected one of the levels v3, v4, got 'v9'"
    check_failure([tiny_package, "--isa=v9"], message)
    with pytest.raises(moec.Error, match=re.escape(message)):
        moec.load(tiny_package, isa="v9")


def test_output_that_cannot_be_written(tiny_package):
    with open("/dev/full", "w") as full:
        check_failure([tiny_package], "standard output: cannot be written", stdout=full)


def check_failure(arguments, message, **options):
    result = subprocess.run([find_tool("moe-run"), *arguments], stderr=subprocess.PIPE, text=True, **options)
    assert result.returncode == 1
    assert re.fullmatch(f"moe-run: {message}\n", result.stderr), result.stderr
