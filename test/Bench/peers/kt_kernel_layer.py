# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""KTransformers' kernels for experts, which take hidden states in bf16; PyTorch routes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import softmax_router
from worker import Refused, serve, tensor

KERNELS = {"bf16": "AMXBF16_MOE", "int8": "AMXInt8_MOE", "q4_0": "AMXInt4_MOE"}


def extension():
    """The library for CPUs with AMX. The package around it needs more packages than the library does."""
    folder = Path(importlib.util.find_spec("kt_kernel").submodule_search_locations[0])
    (library,) = folder.glob("_kt_kernel_ext_amx.*.so")
    spec = importlib.util.spec_from_file_location("kt_kernel_ext", library)
    module = sys.modules["kt_kernel_ext"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Layer:
    def __init__(self, job):
        import torch

        if job.shape.shared:
            raise Refused("no shared expert")
        if job.shape.hidden % 64 or job.shape.inner % 64:
            raise Refused("sizes that are no multiples of 64 crash it")
        torch.set_num_threads(job.threads)
        torch.set_grad_enabled(False)
        self._torch, self._shape = torch, job.shape
        self._router = tensor(job.tensors["router"])
        kernels = extension()
        config = kernels.WorkerPoolConfig()
        config.subpool_count, config.subpool_numa_map, config.subpool_thread_count = 1, [0], [job.threads]
        self._pool = kernels.CPUInfer(config)
        self._weights = [tensor(job.tensors[name]).clone() for name in ("gate", "up", "down")]
        self._order = torch.arange(job.shape.experts)
        self._elsewhere = torch.zeros(job.shape.experts, dtype=torch.bool)
        self._copies = [self._load(kernels.moe, KERNELS[job.format], copy) for copy in range(job.copies)]
        del self._weights

    def _load(self, moe, kernel, copy):
        shape = self._shape
        config = moe.MOEConfig(shape.experts, shape.top_k, shape.hidden, shape.inner, self._elsewhere.data_ptr())
        config.layer_idx, config.pool, config.max_len = copy, self._pool.backend_, 1024
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
        self._pool.submit(layer.load_weights_task(self._order.data_ptr()))
        self._pool.sync()
        return layer

    def bind(self, rows):
        return self._torch.from_numpy(rows).bfloat16()

    def run(self, rows, copy, variant):
        weights, experts = softmax_router.route(rows, self._router, self._shape.top_k)
        experts, y = experts.long(), self._torch.empty_like(rows)
        tokens = self._torch.tensor([len(rows)], dtype=self._torch.int32)
        pointers = (array.data_ptr() for array in (experts, weights, rows, y))
        task = self._copies[copy].forward_task(tokens.data_ptr(), self._shape.top_k, *pointers, False)
        self._pool.submit(task)
        self._pool.sync()
        return y

    def result(self, returned):
        return returned.float().numpy()


if __name__ == "__main__":
    serve(Layer)
