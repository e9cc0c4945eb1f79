# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Capacity."""

import numpy as np

from moec import ops
from routers.program import CU, every, network, relu_experts, router, slot


@router("Switch Transformer", "Fedus, Zoph, Shazeer 2021, arXiv:2101.03961", cu=CU)
def switch(x, w, z, cu):
    """An expert accepts 4 tokens of each sequence, in order."""
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.limit(ops.select(scores, 1), z.experts, 4, cu)
    return relu_experts(x, experts, ops.weigh(scores, experts), w)


@router("GShard", "Lepikhin et al. 2020, arXiv:2006.16668", cu=CU, seed=ops.i32(2))
def gshard(x, w, z, cu, seed):
    """The second expert stays with a probability of twice its weight; weights are divided before slots are dropped."""
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, 2)
    weights = ops.weigh(scores, experts, norm="sum", plus=1e-9)
    second = slot(weights, 1)
    stays = 2 * second > ops.noise("uniform", seed, second)
    experts = ops.concatenate([slot(experts, 0), ops.where(stays, slot(experts, 1), -1)], axis=1)
    experts = ops.limit(experts, z.experts, ops.Capacity(2.0, "floor", least=4), cu)
    return relu_experts(x, experts, weights, w)


@router("NLLB-200", "NLLB team 2022, arXiv:2207.04672", cu=CU)
def nllb(x, w, z, cu):
    """Weights are normalised after slots were dropped: a lone survivor has weight 1. Experts have biases."""
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.limit(ops.select(scores, 2), z.experts, ops.Capacity(2.0, "ceil"), cu)
    weights = ops.weigh(scores, experts, norm="sum", at_least=float(np.finfo(np.float32).eps))
    row, perm, offsets = ops.assign(experts, z.experts)
    hidden = ops.grouped_matmul(ops.dispatch(x, perm, 2), w("in", z.experts, z.intermediate, z.hidden), offsets)
    hidden = ops.glu(ops.group_add(hidden, w("in_bias", z.experts, z.intermediate), offsets), kind="relu")
    ys = ops.grouped_matmul(hidden, w("out", z.experts, z.hidden, z.intermediate), offsets)
    return ops.combine(ops.group_add(ys, w("out_bias", z.experts, z.hidden), offsets), row, weights)


@router("NLLB-200, conditional MoE routing", "NLLB team 2022, arXiv:2207.04672, section 6.2.3")
def conditional(x, w, z):
    """(1 - g) shared(x) + g mixture(x) with g = sigmoid(w x + b)."""
    gate = ops.sigmoid(ops.linear(x, w("cmr", 1, z.hidden)) + w("cmr_bias", 1))
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, 2)
    mixture = ops.expert_ffn(x, experts, ops.weigh(scores, experts, norm="sum"), *w.projections())
    return (1 - gate) * network(x, w.shared()) + gate * mixture


@router("Expert choice", "Zhou et al. 2022, arXiv:2202.09368", cu=CU)
def expert_choice(x, w, z, cu):
    """Each expert takes its best tokens of each sequence; a token has none to all of the experts."""
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.limit(every(x, z.experts), z.experts, ops.Capacity(2.0, "nearest"), cu, priority=scores)
    return ops.expert_ffn(x, experts, ops.weigh(scores, experts), *w.projections())


@router("Mixture of depths", "Raposo et al. 2024, arXiv:2404.02258", cu=CU)
def depths(x, w, z, cu):
    """An eighth of the tokens of each sequence passes the block, in their order; the block is a network here."""
    key = ops.linear(x, w("router", 1, z.hidden))
    chosen = ops.limit(every(x, 1), 1, ops.Capacity(0.125, "ceil"), cu, priority=key)
    return x + ops.expert_ffn(x, chosen, key, *w.projections(count=1))
