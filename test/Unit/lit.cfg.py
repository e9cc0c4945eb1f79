# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GoogleTest executables; each case is a test."""

import os

import lit.formats

config.name = "moe-unit"
config.test_format = lit.formats.GoogleTest(".", "Tests")
config.test_source_root = config.test_exec_root = os.path.join(config.build, "bin")
