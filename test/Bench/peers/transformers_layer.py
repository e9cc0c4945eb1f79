# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""transformers on PyTorch: the block of Qwen3-MoE (or DeepSeek-V2's, with shared experts), by its experts' backends."""

from __future__ import annotations

from worker import serve, tensor

VARIANTS = ("grouped_mm", "eager")


class Layer:
    """Blocks of transformers; a variant is a backend of their experts."""

    def __init__(self, job):
        import torch
        from transformers import Qwen3MoeConfig
        from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

        torch.set_num_threads(job.threads)
        torch.set_grad_enabled(False)
        self._torch, shape = torch, job.shape
        self._dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[job.format]
        config = Qwen3MoeConfig(
            hidden_size=shape.hidden,
            moe_intermediate_size=shape.inner,
            num_experts=shape.experts,
            num_experts_per_tok=shape.top_k,
            norm_topk_prob=True,
            dtype=self._dtype,
        )
        self._blocks = []
        for _ in range(job.copies):
            with torch.device("meta"):
                block = Qwen3MoeSparseMoeBlock(config)
            block = block.to(self._dtype).to_empty(device="cpu").eval()
            gate_up = block.experts.gate_up_proj.data
            gate_up[:, : shape.inner] = tensor(job.tensors["gate"])
            gate_up[:, shape.inner :] = tensor(job.tensors["up"])
            block.experts.down_proj.data.copy_(tensor(job.tensors["down"]))
            block.gate.weight.data.copy_(tensor(job.tensors["router"]))
            self._blocks.append(block)
        self._shared = []
        if shape.shared:
            names = ("shared_gate", "shared_up", "shared_down")
            self._shared = [[tensor(job.tensors[name]).clone() for name in names] for _ in range(job.copies)]

    def bind(self, rows):
        return self._torch.from_numpy(rows)[None].to(self._dtype)

    def run(self, rows, copy, variant):
        block = self._blocks[copy]
        block.experts.config._experts_implementation = variant
        y = block(rows)
        if self._shared:
            gate, up, down = self._shared[copy]
            functional = self._torch.nn.functional
            inner = functional.silu(functional.linear(rows, gate)) * functional.linear(rows, up)
            y = y + functional.linear(inner, down)
        return y

    def result(self, returned):
        return returned[0].float().numpy()


if __name__ == "__main__":
    serve(Layer)
