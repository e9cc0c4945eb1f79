# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Routing in PyTorch's operations, for peers whose kernels begin at the experts."""

from __future__ import annotations


def route(rows, router, top_k):
    """Weights [T, k] f32, which sum to 1, and experts [T, k] i64, in no order, of rows [T, H] and a router [E, H]."""
    import torch

    scores = torch.softmax(torch.nn.functional.linear(rows, router).float(), -1)
    weights, experts = torch.topk(scores, top_k, -1, sorted=False)
    return weights / weights.sum(-1, keepdim=True), experts
