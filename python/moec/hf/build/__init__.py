# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints a decoder, or one block of it, as MLIR in the graph form."""
