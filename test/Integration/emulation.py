# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The runtime for AArch64, and packages that run with it in an emulator."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from programs import Package

_ROOT = Path(__file__).parents[2]
_BUILD = _ROOT / "build" / "aarch64"
_SYSROOT = Path("/usr/aarch64-linux-gnu")
_NEEDED = {
    "qemu-user": shutil.which("qemu-aarch64"),
    "libc6-dev-arm64-cross": _SYSROOT / "include" / "stdlib.h",
    "libstdc++-12-dev-arm64-cross": _SYSROOT / "include" / "c++",
}
"""What of each Debian package is used."""

_DTYPES = {"f32": np.float32, "i32": np.int32}
_THREADS = 3

MOE_RUN = ["qemu-aarch64", "-L", _SYSROOT, _BUILD / "bin" / "moe-run"]


def build_runtime(folder: Path) -> Path:
    """Cross-build the runtime and moe-run, and in `folder` the program that `Emulated` talks to; skip where packages
    are missing."""
    if missing := [package for package, file in _NEEDED.items() if file is None or not Path(file).exists()]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    cache = (_ROOT / "build" / "CMakeCache.txt").read_text()
    compilers = dict(re.findall(r"^CMAKE_(C|CXX)_COMPILER:\w+=(.*)", cache, re.MULTILINE))
    if not (_BUILD / "build.ninja").exists():
        options = [f"-DCMAKE_{language}_COMPILER={compiler}" for language, compiler in compilers.items()]
        toolchain = ["--toolchain", _ROOT / "cmake" / "aarch64.cmake"]
        subprocess.run(["cmake", "--fresh", "-G", "Ninja", "-S", _ROOT, "-B", _BUILD, *toolchain, *options], check=True)
    subprocess.run(["ninja", "-C", _BUILD], check=True)

    executable, library = folder / "calls", _BUILD / "lib"
    source = [f"-I{_ROOT / 'include'}", Path(__file__).with_name("calls.c"), "-o", executable]
    link = ["-fuse-ld=lld", f"-L{library}", f"-Wl,-rpath,{library}", "-lmoe-runtime"]
    subprocess.run([compilers["C"], "--target=aarch64-linux-gnu", *source, *link], check=True)
    return executable


class Emulated:
    """A package that runs in an emulator. Its functions are methods, as those of a `Program`."""

    def __init__(self, package: Package, executable: Path):
        self.weights = package.weights
        functions = json.loads((package.path / "manifest.json").read_text())["functions"]
        self._arguments = {function["name"]: function["arguments"] for function in functions}
        command = ["qemu-aarch64", "-L", _SYSROOT, executable, package.path, str(_THREADS)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._sizes = (0, 0, -1)

    def close(self) -> None:
        """End the process, and expect that it had no error."""
        self._process.stdin.close()
        assert self._process.wait() == 0
        self._process.stdout.close()

    def reserve(self, slots: int, max_len: int, max_tokens: int) -> None:
        """Make empty caches."""
        self._sizes = (slots, max_len, max_tokens)
        self._process.stdin.write(f"reserve {slots} {max_len} {max_tokens}\n".encode())

    def __getattr__(self, name: str) -> Callable:
        if name not in self._arguments:
            raise AttributeError(name)
        return lambda *inputs: self._call(name, inputs)

    def _call(self, name: str, inputs: tuple) -> np.ndarray | tuple[np.ndarray, ...]:
        wanted, results = ([a for a in self._arguments[name] if a["kind"] == kind] for kind in ("input", "output"))
        arrays = [
            np.ascontiguousarray(x, _DTYPES[argument["dtype"]]) for x, argument in zip(inputs, wanted, strict=True)
        ]
        needed = max((extent for array in arrays for extent in array.shape), default=0)
        if needed > self._sizes[2]:
            self.reserve(*self._sizes[:2], needed)
        self._process.stdin.write(f"{name}\n".encode())
        for array in arrays:
            self._process.stdin.write(np.array(array.shape, np.int64).tobytes() + array.tobytes())
        self._process.stdin.flush()
        outputs = tuple(self._read(len(result["shape"]), _DTYPES[result["dtype"]]) for result in results)
        return outputs[0] if len(outputs) == 1 else outputs

    def _read(self, rank: int, dtype: type) -> np.ndarray:
        shape = np.frombuffer(self._get(8 * rank), np.int64)
        return np.frombuffer(self._get(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype).reshape(shape)

    def _get(self, count: int) -> bytes:
        data = self._process.stdout.read(count)
        assert len(data) == count, f"the emulated process ended with {self._process.wait()}"
        return data
