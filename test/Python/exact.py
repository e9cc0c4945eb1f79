# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs models of transformers in float64."""

import torch


class InDouble(torch.overrides.TorchFunctionMode):
    """Computes in float64 what a model asks for in float32, and notes how far apart chosen and other experts are."""

    def __init__(self):
        super().__init__()
        self.gap = float("inf")

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.float:
            function = torch.Tensor.double
        args, kwargs = (
            torch.utils._pytree.tree_map(lambda x: torch.float64 if x is torch.float32 else x, part)
            for part in (args, kwargs or {})
        )
        result = function(*args, **kwargs)
        if function in (torch.topk, torch.Tensor.topk):
            self._note(*args, **kwargs)
        return result

    def _note(self, scores, k, dim=-1, **_):
        if k < scores.shape[dim]:
            values = scores.sort(dim, descending=True).values
            gaps = values.select(dim, k - 1) - values.select(dim, k)
            self.gap = min(self.gap, gaps[gaps.isfinite()].min().item())
