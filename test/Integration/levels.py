# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ISA levels, and whether this CPU has them."""

from pathlib import Path

import pytest

_CPU = set(Path("/proc/cpuinfo").read_text().split())
_V4 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_FEATURES = {
    "v3": {"avx2", "bmi2", "f16c", "fma"},
    "v4": _V4,
    "vnni": _V4 | {"avx512_vnni"},
    "amx_emulated": {"avx2", "bmi2", "f16c", "fma"},
    "amx": _V4 | {"avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "amx_int8"},
}


def require(level: str) -> str:
    """Skip the test if the CPU lacks a level; returns its name."""
    if missing := _FEATURES[level] - _CPU:
        pytest.skip(f"this CPU lacks {', '.join(sorted(missing))}")
    return level
