# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""moe-mlir: a checkpoint, compiled to a package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ours_compile import compile_graph
from worker import CACHE, CHUNK, serve

import moec
from moec.hf import import_checkpoint


class Model:
    """A call is tokens behind those that are in the cache."""

    def __init__(self, job):
        package = Path(job.scratch, "model.moe")
        text = import_checkpoint(Path(job.weights), None, False)
        compile_graph(text, Path(job.weights), job.format, job.compute, package)
        self._models, self._cached = {}, 0
        for variant in job.variants:
            model = self._models[variant] = moec.load(package, job.threads, None if variant == "best" else variant)
            model.reserve(1, CACHE, CHUNK)

    def bind(self, call):
        past, tokens = int(call[0]), call[1:]
        if past != self._cached:
            for start in range(0, past, CHUNK):
                prompt = np.arange(start, min(start + CHUNK, past), dtype=np.int32)
                for variant in self._models:
                    self.run((prompt, start), 0, variant)
            self._cached = past
        return tokens, past

    def run(self, bound, copy, variant):
        tokens, past = bound
        cu, last = np.array([0, len(tokens)], np.int32), np.array([len(tokens) - 1], np.int32)
        first, past = np.zeros(1, np.int32), np.array([past], np.int32)
        return self._models[variant].forward(tokens, cu, past, first, last)

    def result(self, returned):
        return returned


if __name__ == "__main__":
    serve(Model)
