# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Softmax routers of language models."""

from moec import ops
from routers.program import activation, every, network, router, slot


@router("Mixtral 8x7B, 8x22B; MiniMax-Text-01; Hunyuan-A13B without its shared network", "arXiv:2401.04088")
def mixtral(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, z.top_k)
    return ops.expert_ffn(x, experts, ops.weigh(scores, experts, norm="sum"), *w.projections())


@router("Qwen2-MoE, Qwen1.5-MoE", "arXiv:2407.10671")
def qwen2_moe(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, z.top_k)
    y = ops.expert_ffn(x, experts, ops.weigh(scores, experts), *w.projections())
    return y + ops.sigmoid(ops.linear(x, w("shared_score", 1, z.hidden))) * network(x, w.shared())


@router("Qwen3-MoE", "arXiv:2505.09388")
def qwen3_moe(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, 4)
    return ops.expert_ffn(x, experts, ops.weigh(scores, experts, norm="sum"), *w.projections())


@router("OLMoE; FlexOlmo; Jamba", "arXiv:2409.02060")
def olmoe(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, 4)
    return ops.expert_ffn(x, experts, ops.weigh(scores, experts), *w.projections())


@router("DBRX", "databricks/dbrx, model.py")
def dbrx(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, 4)
    return ops.expert_ffn(x, experts, ops.weigh(scores, experts, norm="l2"), *w.projections())


@router("Granite-MoE; JetMoE's networks", "ibm-granite; arXiv:2404.07413")
def granite(x, w, z):
    """A softmax over the chosen logits."""
    logits = ops.linear(x, w.gate())
    experts = ops.select(logits, z.top_k)
    return ops.expert_ffn(x, experts, ops.score(ops.weigh(logits, experts)), *w.projections())


@router("JetMoE, mixture of attention heads", "arXiv:2404.07413")
def jetmoe_heads(x, w, z):
    """Queries of each slot's expert, what stands for the attention, and outputs of the same expert."""
    logits = ops.linear(x, w.gate())
    experts = ops.select(logits, z.top_k)
    row, perm, offsets = ops.assign(experts, z.experts)
    width = z.intermediate
    queries = ops.grouped_matmul(ops.dispatch(x, perm, z.top_k), w("query", z.experts, width, z.hidden), offsets)
    flat = row.reshape(-1, 1)
    by_slot = ops.combine(queries, flat, ops.full(flat.shape, 1.0))
    attended = ops.tanh(by_slot)
    outputs = ops.grouped_matmul(ops.dispatch(attended, perm, 1), w("out", z.experts, z.hidden, width), offsets)
    return ops.combine(outputs, row, ops.score(ops.weigh(logits, experts))) + w("bias", z.hidden)


@router("Phi-3.5-MoE (sparsemixer)", "arXiv:2404.14219; Liu et al. 2023, arXiv:2310.00811")
def phimoe(x, w, z):
    """Each of two passes takes the softmax over the logits that are close to the largest one."""
    logits = ops.linear(x, w.gate())
    first, first_weight = _sparsemixer(logits, logits)
    rest = ops.where(every(x, z.experts) == first, float("-inf"), logits)
    second, second_weight = _sparsemixer(logits, rest)
    weights = ops.concatenate([first_weight, second_weight], axis=1)
    return ops.expert_ffn(x, ops.concatenate([first, second], axis=1), weights, *w.projections())


def _sparsemixer(logits, candidates, jitter=0.01):
    best = ops.max(candidates, 1, keepdims=True)
    near = (best - logits) / ops.maximum(ops.abs(logits), best) <= 2 * jitter
    expert = ops.select(candidates, 1)
    return expert, ops.weigh(ops.score(ops.where(near, candidates, float("-inf"))), expert)


@router("Arctic (dense-MoE hybrid)", "Snowflake/snowflake-arctic-instruct, modeling_arctic.py")
def arctic(x, w, z):
    """The dense network and the mixture stand side by side."""
    return x + network(x, w.shared()) + mixtral(x, w, z)


@router("Grok-1", "xai-org/grok-1, model.py")
def grok(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, 2)
    gelu = activation("geglu_tanh")
    return ops.expert_ffn(x, experts, ops.weigh(scores, experts), *w.projections(), activation=gelu)


@router("PR-MoE (residual)", "Rajbhandari et al. 2022, arXiv:2201.05596")
def residual(x, w, z):
    """c0 mixture(x) + c1 network(x) with c = softmax(x W + b)."""
    scores = ops.score(ops.linear(x, w.gate()))
    expert = ops.select(scores, 1)
    mixture = ops.expert_ffn(x, expert, ops.weigh(scores, expert), *w.projections())
    mix = ops.score(ops.linear(x, w("mix", 2, z.hidden)) + w("mix_bias", 2))
    return slot(mix, 0) * mixture + slot(mix, 1) * network(x, w.shared())
