# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Without a fixed number of experts, without scores, without dispatch."""

import numpy as np

from moec import ops
from routers.program import CU, every, network, relu_experts, router, slot


@router("ReMoE", "arXiv:2412.14711")
def remoe(x, w, z):
    """Whoever scores above 0."""
    scores = ops.score(ops.linear(x, w.gate()), "relu")
    experts = ops.select(scores, z.experts, above=0.0)
    return ops.expert_ffn(x, experts, ops.weigh(scores, experts), *w.projections())


@router("Top-p", "Huang et al. 2024, arXiv:2403.07652")
def top_p(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, z.experts, until=0.7)
    return ops.expert_ffn(x, experts, ops.weigh(scores, experts), *w.projections())


@router("Soft MoE", "Puigcerver et al. 2023, arXiv:2308.00951", cu=CU)
def soft(x, w, z, cu):
    """Every slot is a mean of the tokens of its sequence, every token a mean of the results; 2 slots an expert."""
    slots = 2
    keys = w("slots", z.experts * slots, z.hidden)

    def normed(rows):
        return rows / ops.sqrt(ops.sum(rows * rows, 1, keepdims=True) + 1e-6)

    logits = 5.0 * ops.linear(normed(x), normed(keys))
    xs = ops.soft_dispatch(x, ops.score(logits, over_tokens=True, cu=cu), cu)
    # Rows are s * B + b, so that an expert's slots of all B sequences stand together.
    batch = ops.sum(cu * 0 + 1, 0) - 1
    offsets = ops.arange(z.experts + 1) * (slots * batch)
    gate, up, down = w.projections()
    hidden = ops.glu(ops.grouped_matmul(xs, gate, offsets), ops.grouped_matmul(xs, up, offsets))
    return ops.soft_combine(ops.grouped_matmul(hidden, down, offsets), ops.score(logits), cu)


@router("Hash layers", "Roller et al. 2021, arXiv:2106.04426", tokens=ops.i32("T"))
def hash_layers(x, w, z, tokens):
    """A random table, and weight 1."""
    table = np.random.default_rng(42).integers(0, z.experts, (50, 1))
    w.arrays["table"] = table
    expert = ops.take(ops.constant(table.astype(np.int32)), tokens)
    return relu_experts(x, expert, ops.full(expert.shape, 1.0), w)


@router("BASE layers", "Lewis et al. 2021, arXiv:2103.16716")
def base(x, w, z):
    """At inference the best expert; a f(x) + (1 - a) x with a = sigmoid(affinity)."""
    affinity = ops.linear(x, w.gate())
    expert = ops.select(affinity, 1)
    share = ops.sigmoid(ops.weigh(affinity, expert))
    return ops.expert_ffn(x, expert, share, *w.projections()) + (1 - share) * x


@router("MoE++ (zero, copy and constant experts)", "arXiv:2410.07348", previous=lambda z: ops.f32("T", z.experts + 4))
def moe_plus_plus(x, w, z, previous):
    """Beside networks two constant experts, a copying one and one that returns zero, whose weight is lost before the
    others are normalised. Logits carry over from the layer before. Two results: rows and logits."""
    count = z.experts + 4
    hidden = ops.tanh(ops.linear(x, w("gate_in", 2 * count, z.hidden)))
    logits = ops.linear(hidden, w("gate_out", count, 2 * count, of=lambda x: 3 * x))
    logits = logits + ops.linear(previous, w("gate_map", count, count))
    scores = ops.score(logits)
    experts = ops.select(scores, 2)
    kept = ops.where(every(x, count) == count - 1, 0.0, scores)
    weights = ops.weigh(kept, experts, norm="sum")
    row, perm, offsets = ops.assign(experts, count)
    gate, up, down = w.projections()
    vectors, mixers = w("constants", 2, z.hidden), w("mixers", 2, 2, z.hidden)

    def ffn(rows, e):
        return network(rows, (gate[e], up[e], down[e]))

    def constant(rows, e):
        share = ops.score(ops.linear(rows, mixers[e]))
        return slot(share, 0) * rows + slot(share, 1) * vectors[e]

    bodies = [ffn, constant, lambda rows, e: rows, lambda rows, e: rows * 0]
    rows = ops.dispatch(2 * x, perm, 2)
    return ops.combine(ops.experts(rows, offsets, [z.experts, 2, 1, 1], bodies), row, weights), logits


@router("Heterogeneous experts", "HMoE: Wang et al. 2024, arXiv:2408.10681")
def heterogeneous(x, w, z):
    """Narrow and wide networks, one of another kind, a convolution over an expert's rows, and one that does nothing."""
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, z.top_k)
    row, perm, offsets = ops.assign(experts, z.experts)
    narrow = w.projections("narrow_", 3, z.intermediate // 2)
    wide = w.projections("wide_", 2, 2 * z.intermediate)
    relu_in, relu_out = w("in", z.intermediate, z.hidden), w("out", z.hidden, z.intermediate)
    kernel = w("kernel", 3, z.hidden)

    def gated(weights):
        return lambda rows, e: network(rows, tuple(weight[e] for weight in weights))

    def mlp(rows, e):
        return ops.linear(ops.relu(ops.linear(rows, relu_in)), relu_out)

    def convolution(rows, e):
        """Depthwise along a row: channel h of three neighbours h - 1, h, h + 1."""
        left = ops.concatenate([rows[:, 1:], rows[:, :1] * 0], axis=1)
        right = ops.concatenate([rows[:, :1] * 0, rows[:, :-1]], axis=1)
        return right * kernel[0] + rows * kernel[1] + left * kernel[2]

    segments = [3, 2, 1, 1, z.experts - 7]
    bodies = [gated(narrow), gated(wide), mlp, convolution, lambda rows, e: rows]
    ys = ops.experts(ops.dispatch(x, perm, z.top_k), offsets, segments, bodies)
    return ops.combine(ys, row, ops.weigh(scores, experts, norm="sum"))
