# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles Mixture-of-Experts models ahead of time, and runs what it compiled.

>>> import moec
>>> moec.compile_checkpoint("OLMoE-1B-7B", "olmoe.moe")
>>> moec.load("olmoe.moe").generate([510, 5347, 273], max_new_tokens=4)

`moec.ops` builds programs of one's own.
"""

from moec.compiler import compile, compile_checkpoint
from moec.errors import Error
from moec.hf import import_checkpoint
from moec.run import load

__version__ = "0.1.0"
__all__ = ["Error", "compile", "compile_checkpoint", "import_checkpoint", "load"]
