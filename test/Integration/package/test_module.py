# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What module.so needs and shows, and that a package is all that it needs."""

import re
import shutil
import subprocess

from moec.native import find_tool


def readelf(package, *options):
    command = ["readelf", "--wide", *options, package / "module.so"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_needs_nothing_but_system_libraries_and_openmp(model_package):
    dynamic = readelf(model_package, "--dynamic")
    assert set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)) == {"libc.so.6", "libm.so.6", "libomp.so.5"}
    assert re.findall(r"\(RUNPATH\).*\[(.*)\]", dynamic) == ["$ORIGIN"]
    assert (model_package / "libomp.so.5").exists()


def test_exports_one_symbol(model_package):
    """Number, value, size, type, binding, visibility, section (UND where it is imported), name."""
    symbols = [line.split() for line in readelf(model_package, "--dyn-syms").splitlines()]
    defined = [fields[7] for fields in symbols if len(fields) == 8 and fields[4] == "GLOBAL" and fields[6].isdigit()]
    assert defined == ["moe_module_info"]


def test_writes_no_global(model_package):
    """Calls may be concurrent: code and tables, but no variable."""
    sections = re.findall(r"\] (\.\w+) +\w+ +\w+ +\w+ +(\w+)", readelf(model_package, "--sections"))
    assert not [name for name, size in sections if name in (".bss", ".data", ".tbss", ".tdata") and int(size, 16)]


def test_runs_elsewhere(model_package, tmp_path):
    moved = shutil.copytree(model_package, tmp_path / "a folder")
    command = [find_tool("moe-run").resolve(), moved, "--prompt-ids=1,2,3", "--max-new-tokens=4"]
    result = subprocess.run(command, cwd="/", env={}, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout.split()) == 4
