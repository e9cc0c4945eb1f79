# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Mixtures of the nineties, and their sparse heirs."""

import numpy as np

from moec import ops
from routers.program import every, router, slot


@router("Dense mixture", "Jacobs, Jordan, Nowlan, Hinton 1991, doi:10.1162/neco.1991.3.1.79")
def dense(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    return ops.expert_ffn(x, every(x, z.experts), scores, *w.projections())


@router("Gaussian-mixture gate", "Xu, Jordan, Hinton 1995, Neural Information Processing Systems 7")
def gaussian(x, w, z):
    """logits = log a + log N(x; mean, diagonal precision), up to what all experts share."""
    shape = (z.experts, z.hidden)
    precision = w("precision", *shape, of=lambda p: 0.1 + np.abs(p))
    mean = w("mean", *shape, of=lambda m: 2 * m)
    prior = w("prior", z.experts, of=lambda a: np.exp(a) / np.exp(a).sum())
    normaliser = ops.log(prior) + 0.5 * ops.sum(ops.log(precision), 1) - 0.5 * ops.sum(mean * mean * precision, 1)
    logits = normaliser + ops.linear(x, precision * mean) - 0.5 * ops.linear(x * x, precision)
    return ops.expert_ffn(x, every(x, z.experts), ops.score(logits), *w.projections())


@router("Jordan, Jacobs hierarchical mixture", "Jordan, Jacobs 1994, doi:10.1162/neco.1994.6.2.181")
def hierarchical_dense(x, w, z):
    """sum_i g_i sum_j g_ij f_ij(x): gates at both levels, every expert."""
    branches = 2
    outer = ops.score(ops.linear(x, w("outer", branches, z.hidden)))
    inner = ops.linear(x, w.gate())
    size = z.experts // branches
    weights = [ops.score(inner[:, i * size : (i + 1) * size]) * slot(outer, i) for i in range(branches)]
    return ops.expert_ffn(x, every(x, z.experts), ops.concatenate(weights, axis=1), *w.projections())


@router("Noisy top-k", "Shazeer et al. 2017, arXiv:1701.06538", seed=ops.i32(2))
def noisy_top_k(x, w, z, seed):
    """Also the losses of importance and load; the load is smooth in the probability to stay among the first k."""
    clean = ops.linear(x, w.gate())
    deviation = ops.softplus(ops.linear(x, w("noise", z.experts, z.hidden))) + 1e-2
    logits = clean + ops.noise("normal", seed, clean) * deviation
    experts = ops.select(logits, z.top_k)
    weights = ops.score(ops.weigh(logits, experts))
    y = ops.expert_ffn(x, experts, weights, *w.projections())

    numbers = every(x, z.experts)
    gates = ops.where(numbers == slot(experts, 0), slot(weights, 0), 0.0)
    for j in range(1, z.top_k):
        gates = gates + ops.where(numbers == slot(experts, j), slot(weights, j), 0.0)
    best = ops.weigh(logits, ops.select(logits, z.top_k + 1))
    last, following = slot(best, z.top_k - 1), slot(best, z.top_k)
    threshold = ops.where(logits > following, following, last)
    stays = 0.5 * (1 + ops.erf((clean - threshold) / (deviation * 2**0.5)))
    return y, ops.aux_loss("cv2", gates), ops.aux_loss("cv2", stays)


@router("Two-level hierarchical gating", "Shazeer et al. 2017, arXiv:1701.06538, appendix B; Mesh TensorFlow")
def hierarchical(x, w, z):
    """Of 2 groups the best, and in it the best 2 experts: a mixture whose experts are mixtures."""
    groups = 2
    size = z.experts // groups
    outer_scores = ops.score(ops.linear(x, w("outer", groups, z.hidden)))
    outer = ops.select(outer_scores, 1)
    row, perm, offsets = ops.assign(outer, groups)
    rows = ops.dispatch(x, perm, 1)
    inner_scores = ops.score(ops.grouped_matmul(rows, w("router", groups, size, z.hidden), offsets))
    inner = ops.select(inner_scores, 2)
    group = ops.take(outer.reshape(-1), perm)
    ys = ops.expert_ffn(rows, group[:, None] * size + inner, ops.weigh(inner_scores, inner, "sum"), *w.projections())
    return ops.combine(ys, row, ops.weigh(outer_scores, outer))
