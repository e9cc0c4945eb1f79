# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The child's side of a contender: answers one JSON request a line, in an environment of its own.

Requests are `prepare` (once), `inputs`, `turn` and `output`; an answer is an object, with `refused` where the contender
cannot do what is asked. Weights and rows come in files that test/Bench/layer.py describes.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import numpy as np

CACHE = 4096
"""Tokens that a model has room for."""

CHUNK = 1024
"""Tokens of a call at most."""


class Refused(Exception):
    """The contender does not do this; the text says why."""


class Layer(Protocol):
    """What a contender prepares."""

    def bind(self, rows: np.ndarray) -> object:
        """Whatever `run` takes instead of rows [T, H] f32, e.g. a tensor in the contender's dtype.

        A model gets [1 + T] i32: how many tokens are to be in the cache before a call, and those of the call.
        """

    def run(self, bound: object, copy: int, variant: str) -> object:
        """The call that is timed: hidden states to hidden states, with the weights of one copy."""

    def result(self, returned: object) -> np.ndarray:
        """[T, H] f32 of what `run` returned."""


class Weights:
    """Tensors of a safetensors file, mapped. bf16 is an array of its bits in u16."""

    def __init__(self, folder: Path):
        with open(folder / "model.safetensors", "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            self._header = json.loads(file.read(length))
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._start = 8 + length

    def __iter__(self) -> Iterator[str]:
        return iter(self._header)

    def __getitem__(self, name: str) -> np.ndarray:
        described = self._header[name]
        begin, end = described["data_offsets"]
        dtype = {"F32": np.float32, "BF16": np.uint16}[described["dtype"]]
        array = np.frombuffer(self._bytes, dtype, (end - begin) // np.dtype(dtype).itemsize, self._start + begin)
        return array.reshape(described["shape"])


def tensor(array: np.ndarray):
    """An array of `Weights` as PyTorch's tensor, without a copy."""
    import torch

    shared = torch.from_numpy(array)
    return shared.view(torch.bfloat16) if array.dtype == np.uint16 else shared


def serve(prepare) -> None:
    """Answer requests until the standard input ends.

    Parameters
    ----------
    prepare : callable
        Makes a `Layer` of a job: `weights` (folder), `format`, `compute`, `variants`, `copies`, `threads`, `scratch`
        (folder); of a layer also `shape` (sizes by name) and `tensors` (the `Weights`, f32 if that is the format, else
        bf16).
    """
    die_with_parent = 1  # PR_SET_PDEATHSIG: a stopped process does not see the end of its input
    ctypes.CDLL(None).prctl(die_with_parent, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print
    session = _Session(prepare)
    for line in sys.stdin:
        (request, argument), *_ = json.loads(line).items()
        try:
            answer = getattr(session, request)(argument)
        except Refused as refused:
            answer = {"refused": str(refused)}
        except Exception as error:  # a peer's own: what it says is the reason
            answer = {"refused": f"{type(error).__name__}: {error}".split("\n")[0][:300]}
        answers.write(json.dumps(answer or {}) + "\n")


class _Session:
    def __init__(self, prepare):
        self._prepare = prepare

    def prepare(self, job):
        self.copies = job["copies"]
        if "shape" in job:
            tensors = Weights(Path(job["weights"], "f32" if job["format"] == "f32" else "bf16"))
            job |= {"shape": SimpleNamespace(**job["shape"]), "tensors": tensors}
        self.layer = self._prepare(SimpleNamespace(**job))

    def inputs(self, path):
        self.bound = [self.layer.bind(rows) for rows in np.load(path)]
        self.calls = 0

    def output(self, request):
        """Writes the result of the first input."""
        rows = self.layer.result(self.layer.run(self.bound[0], 0, request["variant"]))
        np.save(request["path"], rows)

    def turn(self, request):
        """Calls for so many seconds at least; the time of each call, without the first if there are more."""
        times, end = [], time.perf_counter() + request["seconds"]
        while not times or time.perf_counter() < end:
            bound, copy = self.bound[self.calls % len(self.bound)], self.calls % self.copies
            start = time.perf_counter()
            self.layer.run(bound, copy, request["variant"])
            times.append(time.perf_counter() - start)
            self.calls += 1
        return {"times": times[1:] or times}
