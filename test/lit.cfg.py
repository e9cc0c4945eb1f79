# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The suites that lit runs: MLIR files with RUN lines, and the executables of Unit/, one test per case."""

import os
import platform
import sys
from pathlib import Path

import lit.formats

config.name = "moe"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Integration", "Programs"]
config.test_source_root = os.path.join(config.source, "test")
config.test_exec_root = os.path.join(config.build, "test")

config.environment["PATH"] = os.pathsep.join([f"{config.build}/bin", config.llvm_tools, os.environ["PATH"]])
config.environment["PYTHONPATH"] = f"{config.source}/python"
config.substitutions += [
    ("%python", sys.executable),
    # Whatever moe-opt reads survives a trip through the generic form and through bytecode.
    (r"\bmoe-opt\b", "moe-opt --verify-roundtrip"),
]

if platform.machine() == "x86_64":
    flags = Path("/proc/cpuinfo").read_text().split()
    for feature, flag in {"avx2": "avx2", "avx512": "avx512f", "amx": "amx_bf16"}.items():
        if flag in flags:
            config.available_features.add(feature)
