# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints MLIR: values with types, operations, functions."""
