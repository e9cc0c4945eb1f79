# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where a measurement runs, and what that machine can do at most."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

READ = 1024
"""Mebibytes that the read bandwidth is measured on."""

UNITS = {
    "f32": ("f32_fma_512", "f32_fma_256"),
    "bf16": ("bf16_amx", "bf16_dot_512", "f32_fma_512", "f32_fma_256"),
    "int8": ("int8_amx", "int8_vnni_512", "int8_vnni_256", "int8_madd_256"),
}
"""Units that may multiply a compute type, the fastest first."""

BANDWIDTH = "read_huge_4"


def commit() -> str:
    """The commit that is measured, with a + behind it if the tree has changes."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def describe() -> dict:
    """The CPU, as it names itself, its memory in GiB, and the features that kernels depend on."""
    info = Path("/proc/cpuinfo").read_text()
    flags = set(re.search(r"^flags\s*: (.*)", info, re.M)[1].split())
    memory = int(re.search(r"MemTotal: *(\d+)", Path("/proc/meminfo").read_text())[1])
    units = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8")
    return {
        "cpu": re.search(r"model name\s*: (.*)", info)[1],
        "cpus": len(re.findall(r"^processor", info, re.M)),
        "memory": round(memory / 2**20, 1),
        "units": [unit for unit in units if unit in flags],
    }


class Bystanders:
    """How much of some CPUs went to others than the processes that are measured, by the kernel's clock ticks."""

    def __init__(self, cpus: set[int], processes: list[int]):
        self._cpus, self._processes = cpus, processes
        self._start = self._ticks()

    def share(self) -> float:
        """Of the time that has passed on these CPUs, that of others; 1 is all."""
        (busy, all_), (busy_before, all_before) = self._ticks(), self._start
        return max(0, busy - busy_before) / max(1, all_ - all_before)

    def _ticks(self) -> tuple[int, int]:
        """Ticks that others had, and all."""
        others = total = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *ticks = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in self._cpus:
                user, nice, system, idle, wait, *interrupts_and_stolen = map(int, ticks[:8])
                others += user + nice + system + sum(interrupts_and_stolen)
                total += sum(map(int, ticks[:8]))
        for process in self._processes:
            with contextlib.suppress(OSError):  # it may have crashed
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                others -= int(fields[11]) + int(fields[12])
        return others, total


def wait_for_quiet(cpus: set[int], share: float) -> None:
    """Wait, for a minute at most, until hardly anybody uses these CPUs."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        bystanders = Bystanders(cpus, [])
        time.sleep(0.5)
        if bystanders.share() < share:
            break


class Rooflines:
    """The program of rooflines.cpp, which waits for requests.

    Attributes
    ----------
    names : list of str
        What it can measure here.
    """

    def __init__(self, folder: Path, threads: int):
        version = re.search(r"find_package\(MLIR (\d+)", (ROOT / "CMakeLists.txt").read_text())[1]
        source, program = ROOT / "test/Bench/rooflines.cpp", folder / "rooflines"
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            compiler = f"/usr/lib/llvm-{version}/bin/clang++"
            subprocess.run([compiler, "-std=c++20", "-O2", "-mavx2", "-pthread", source, "-o", program], check=True)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program, str(threads), str(READ)], stdin=pipe, stdout=pipe, text=True)
        self.names = self.process.stdout.readline().split()

    def unit(self, compute: str, level: str) -> str:
        """The best unit of a level of ours for a compute type."""
        ends = ("_256",) if level == "v3" else ("",)
        return next(unit for unit in UNITS[compute] if unit in self.names and unit.endswith(ends))

    def measure(self, names: list[str], repeats: int) -> dict[str, float]:
        """Operations or bytes a second, the best of so many repeats."""
        print(repeats, *names, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
