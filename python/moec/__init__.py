# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles Mixture-of-Experts models ahead of time, and runs what it compiled."""

from moec.errors import Error

__version__ = "0.1.0"
__all__ = ["Error"]
