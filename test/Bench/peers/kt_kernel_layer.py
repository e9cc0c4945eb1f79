# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""KTransformers' kernels for experts, which take hidden states in bf16; PyTorch routes.

Beside its workers a thread that hands out their work spins all the time. A variant is how many of the CPUs have a
worker: all of them, which share one with that thread, or all but one.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

import softmax_router
from worker import Refused, serve, tensor

SPARE = {"amx": 0, "amx, one worker less": 1}
"""CPUs without a worker in each variant."""

KERNELS = {"bf16": "AMXBF16_MOE", "int8": "AMXInt8_MOE", "q4_0": "AMXInt4_MOE"}


def extension():
    """The library for CPUs with AMX. The package around it needs more packages than the library does."""
    folder = Path(importlib.util.find_spec("kt_kernel").submodule_search_locations[0])
    (library,) = folder.glob("_kt_kernel_ext_amx.*.so")
    spec = importlib.util.spec_from_file_location("kt_kernel_ext", library)
    module = sys.modules["kt_kernel_ext"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _start(kernels, workers):
    """A pool of threads."""
    config = kernels.WorkerPoolConfig()
    config.subpool_count, config.subpool_numa_map, config.subpool_thread_count = 1, [0], [workers]
    return kernels.CPUInfer(config)


class Layer:
    def __init__(self, job):
        import torch

        if job.shape.shared:
            raise Refused("no shared expert")
        if job.shape.hidden % 64 or job.shape.inner % 64:
            raise Refused("sizes that are no multiples of 64 crash it")
        torch.set_num_threads(1)  # its threads would spin, too
        torch.set_grad_enabled(False)
        self._torch, self._shape = torch, job.shape
        self._router = tensor(job.tensors["router"])
        kernels = extension()
        self._weights = [tensor(job.tensors[name]).clone() for name in ("gate", "up", "down")]
        self._order = torch.arange(job.shape.experts)
        self._elsewhere = torch.zeros(job.shape.experts, dtype=torch.bool)
        self._pools, self._copies = {}, {}
        for variant in job.variants:
            workers = job.threads - SPARE[variant]
            if workers:
                pool = self._pools[variant] = _start(kernels, workers)
                load = functools.partial(self._load, kernels.moe, KERNELS[job.format], pool)
                self._copies[variant] = [load(copy) for copy in range(job.copies)]
        del self._weights

    def _load(self, moe, kernel, pool, copy):
        shape = self._shape
        config = moe.MOEConfig(shape.experts, shape.top_k, shape.hidden, shape.inner, self._elsewhere.data_ptr())
        config.layer_idx, config.pool, config.max_len = copy, pool.backend_, 1024
        gate, up, down = self._weights
        if kernel == "AMXBF16_MOE":
            config.gate_projs, config.up_projs, config.down_projs = (
                [[expert.data_ptr() for expert in weight]] for weight in self._weights
            )
            nothing = [[0] * shape.experts]
            config.gate_scales, config.up_scales, config.down_scales = nothing, nothing, nothing
        else:
            config.gate_proj, config.up_proj, config.down_proj = gate.data_ptr(), up.data_ptr(), down.data_ptr()
        layer = getattr(moe, kernel)(config)
        pool.submit(layer.load_weights_task(self._order.data_ptr()))
        pool.sync()
        return layer

    def bind(self, rows):
        return self._torch.from_numpy(rows).bfloat16()

    def run(self, rows, copy, variant):
        if variant not in self._pools:
            raise Refused("no CPU for a worker")
        weights, experts = softmax_router.route(rows, self._router, self._shape.top_k)
        experts, y = experts.long(), self._torch.empty_like(rows)
        tokens = self._torch.tensor([len(rows)], dtype=self._torch.int32)
        pointers = (array.data_ptr() for array in (experts, weights, rows, y))
        task = self._copies[variant][copy].forward_task(tokens.data_ptr(), self._shape.top_k, *pointers, False)
        self._pools[variant].submit(task)
        self._pools[variant].sync()
        return y

    def result(self, returned):
        return returned.float().numpy()


if __name__ == "__main__":
    serve(Layer)
