# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every published router and expert body as a program of moec.ops: a layer's function from x [T, H] to [T, H].

A program reads its weights by name from `Weights`, so that an oracle can read the same ones. `python routers.py DIR`
writes each as MLIR.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moec import ops
from moec.ops import Program, Tensor, Weight

CU = ops.i32("B+1")


@dataclass(frozen=True)
class Sizes:
    """Extents of a program."""

    hidden: int = 40
    intermediate: int = 24
    experts: int = 8
    top_k: int = 2


@dataclass(frozen=True)
class Router:
    """A program of the catalogue.

    Attributes
    ----------
    title : str
        Architectures that it is.
    source : str
        Where its formula is published.
    build : callable
        Of x, weights, sizes and the tensors of `arguments`, to the result or results.
    arguments : callable
        Of sizes, to the types of what it takes beside x, by name.
    """

    name: str
    title: str
    source: str
    build: Callable
    arguments: Callable


ROUTERS: dict[str, Router] = {}


def router(title: str, source: str, **arguments):
    """Add a program to the catalogue under the name of its function; the type of an argument may depend on sizes."""

    def add(build: Callable) -> Callable:
        types = {name: type if callable(type) else lambda z, type=type: type for name, type in arguments.items()}
        ROUTERS[build.__name__] = Router(
            build.__name__, title, source, build, lambda z: {name: type(z) for name, type in types.items()}
        )
        return build

    return add


class Weights:
    """Random weights of one program; `arrays` holds those that were asked for."""

    def __init__(self, program: Program, router: str, sizes: Sizes):
        self.arrays: dict[str, np.ndarray] = {}
        self.sizes = sizes
        self._program = program
        self._router = router

    def __call__(self, name: str, *shape: int, of: Callable = lambda x: x) -> Weight:
        """A weight of normal numbers, which make sums of its last extent about 1; `of` maps them."""
        rng = np.random.default_rng([ord(letter) for letter in self._router + name])
        array = of(rng.normal(0, 1, shape) / np.sqrt(shape[-1])).astype(np.float32)
        self.arrays[name] = array
        return self._program.weight(f"{self._router}.{name}", array)

    def gate(self, count: int | None = None) -> Weight:
        """The router's matrix; its logits are a few units apart."""
        return self("router", count or self.sizes.experts, self.sizes.hidden, of=lambda x: 3 * x)

    def projections(self, prefix: str = "", count: int | None = None, wide: int | None = None) -> tuple[Weight, ...]:
        """Gate, up and down of experts."""
        experts, hidden = count or self.sizes.experts, self.sizes.hidden
        wide = wide or self.sizes.intermediate
        return (
            self(f"{prefix}gate", experts, wide, hidden),
            self(f"{prefix}up", experts, wide, hidden),
            self(f"{prefix}down", experts, hidden, wide),
        )

    def shared(self, wide: int | None = None) -> tuple[Weight, ...]:
        """Gate, up and down of a network for all tokens."""
        hidden, wide = self.sizes.hidden, wide or self.sizes.intermediate
        return self("shared_gate", wide, hidden), self("shared_up", wide, hidden), self("shared_down", hidden, wide)


def network(x: Tensor, weights: tuple[Weight, ...], activation: Callable = ops.glu) -> Tensor:
    """One gated network for all tokens."""
    gate, up, down = weights
    return ops.linear(activation(ops.linear(x, gate), ops.linear(x, up)), down)


def relu_experts(x: Tensor, experts: Tensor, weights: Tensor, w: Weights) -> Tensor:
    """Experts of two projections: out(relu(in(x)))."""
    z = w.sizes
    row, perm, offsets = ops.assign(experts, z.experts)
    rows = ops.dispatch(x, perm, experts.shape[1])
    hidden = ops.relu(ops.grouped_matmul(rows, w("in", z.experts, z.intermediate, z.hidden), offsets))
    out = w("out", z.experts, z.hidden, z.intermediate)
    return ops.combine(ops.grouped_matmul(hidden, out, offsets), row, weights)


def every(x: Tensor, experts: int) -> Tensor:
    """All experts of each token, in order."""
    return ops.broadcast_to(ops.arange(experts), (x.shape[0], experts))


def slot(indices: Tensor, j: int) -> Tensor:
    return indices[:, j : j + 1]


# ===----------------------------------------------------------------------===#
# Mixtures of the nineties, and their sparse heirs
# ===----------------------------------------------------------------------===#


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


# ===----------------------------------------------------------------------===#
# Capacity
# ===----------------------------------------------------------------------===#


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
    hidden = ops.relu(ops.group_add(hidden, w("in_bias", z.experts, z.intermediate), offsets))
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


# ===----------------------------------------------------------------------===#
# Softmax routers of language models
# ===----------------------------------------------------------------------===#


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
    gelu = _activation("geglu_tanh")
    return ops.expert_ffn(x, experts, ops.weigh(scores, experts), *w.projections(), activation=gelu)


def _activation(kind, **clauses):
    return lambda gate, up: ops.glu(gate, up, kind, **clauses)


@router("PR-MoE (residual)", "Rajbhandari et al. 2022, arXiv:2201.05596")
def residual(x, w, z):
    """c0 mixture(x) + c1 network(x) with c = softmax(x W + b)."""
    scores = ops.score(ops.linear(x, w.gate()))
    expert = ops.select(scores, 1)
    mixture = ops.expert_ffn(x, expert, ops.weigh(scores, expert), *w.projections())
    mix = ops.score(ops.linear(x, w("mix", 2, z.hidden)) + w("mix_bias", 2))
    return slot(mix, 0) * mixture + slot(mix, 1) * network(x, w.shared())


# ===----------------------------------------------------------------------===#
# DeepSeek and its relatives
# ===----------------------------------------------------------------------===#


@router("DeepSeek-V2", "arXiv:2405.04434")
def deepseek_v2(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, 3, groups=ops.Groups(4, keep=2, by=1, fill="zero"))
    y = ops.expert_ffn(x, experts, ops.weigh(scores, experts, scale=16.0), *w.projections())
    return y + network(x, w.shared(2 * z.intermediate))


def _sigmoid_routed(x, w, z, scale, groups=None):
    scores = ops.score(ops.linear(x, w.gate()), "sigmoid")
    experts = ops.select(scores, 3, bias=w("bias", z.experts), groups=groups)
    weights = ops.weigh(scores, experts, norm="sum", plus=1e-20, scale=scale)
    return ops.expert_ffn(x, experts, weights, *w.projections()) + network(x, w.shared())


@router("DeepSeek-V3, R1", "arXiv:2412.19437")
def deepseek_v3(x, w, z):
    return _sigmoid_routed(x, w, z, 2.5, ops.Groups(4, keep=2, by=2))


@router("Kimi-K2", "arXiv:2507.20534")
def kimi_k2(x, w, z):
    return _sigmoid_routed(x, w, z, 2.827)


@router("GLM-4.5", "arXiv:2508.06471")
def glm4_moe(x, w, z):
    return _sigmoid_routed(x, w, z, 1.0)


@router("DeepSeek-V4", "transformers 5.18, models/deepseek_v4")
def deepseek_v4(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()), "sqrtsoftplus")
    experts = ops.select(scores, 3, bias=w("bias", z.experts))
    return _deepseek_v4(x, w, scores, experts)


@router("DeepSeek-V4, hash layers", "transformers 5.18, models/deepseek_v4", tokens=ops.i32("T"))
def deepseek_v4_hash(x, w, z, tokens):
    """A table says where each token id goes; weights are learnt all the same."""
    scores = ops.score(ops.linear(x, w.gate()), "sqrtsoftplus")
    table = np.random.default_rng(0).permuted(np.tile(np.arange(z.experts), (50, 1)), axis=1)[:, :3]
    w.arrays["table"] = table
    return _deepseek_v4(x, w, scores, ops.take(ops.constant(table.astype(np.int32)), tokens))


def _deepseek_v4(x, w, scores, experts):
    weights = ops.weigh(scores, experts, norm="sum", plus=1e-20, scale=1.5)
    limited = _activation("swiglu", limit=0.5)
    y = ops.expert_ffn(x, experts, weights, *w.projections(), activation=limited)
    return y + network(x, w.shared(), limited)


@router("MiniMax-M2", "MiniMaxAI/MiniMax-M2; transformers 5.18, models/minimax_m2")
def minimax_m2(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()), "sigmoid")
    experts = ops.select(scores, 4, bias=w("bias", z.experts))
    return ops.expert_ffn(x, experts, ops.weigh(scores, experts, norm="sum"), *w.projections())


@router("Ernie-4.5", "baidu/ERNIE; transformers 5.18, models/ernie4_5_moe")
def ernie(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, 3, bias=w("bias", z.experts))
    weights = ops.weigh(scores, experts, norm="sum", at_least=1e-12)
    return ops.expert_ffn(x, experts, weights, *w.projections()) + network(x, w.shared(2 * z.intermediate))


@router("Hunyuan-A13B", "Tencent-Hunyuan; transformers 5.18, models/hunyuan_v1_moe")
def hunyuan(x, w, z):
    return mixtral(x, w, z) + network(x, w.shared())


@router("LongCat-Flash (identity experts)", "arXiv:2509.01322")
def longcat(x, w, z):
    """The last third of the experts returns its rows: such slots need no rows, their weights multiply x."""
    count = z.experts + z.experts // 2
    scores = ops.score(ops.linear(x, w.gate(count)))
    chosen = ops.select(scores, 4, bias=w("bias", count))
    weights = ops.weigh(scores, chosen, scale=6.0)
    is_network = chosen < z.experts
    y = ops.expert_ffn(x, ops.where(is_network, chosen, -1), weights, *w.projections())
    return y + x * ops.sum(ops.where(is_network, 0.0, weights), 1, keepdims=True)


@router("gpt-oss", "arXiv:2508.10925")
def gpt_oss(x, w, z):
    logits = ops.linear(x, w.gate()) + w("router_bias", z.experts)
    experts = ops.select(logits, 4)
    row, perm, offsets = ops.assign(experts, z.experts)
    rows = ops.dispatch(x, perm, 4)

    def projection(rows, name, weight):
        biases = w(f"{name}_bias", z.experts, weight.array.shape[1])
        return ops.group_add(ops.grouped_matmul(rows, weight, offsets), biases, offsets)

    gate, up, down = w.projections()
    hidden = ops.glu(
        projection(rows, "gate", gate), projection(rows, "up", up), "swiglu", alpha=1.702, offset=1.0, limit=7.0
    )
    return ops.combine(projection(hidden, "down", down), row, ops.score(ops.weigh(logits, experts)))


@router("Llama-4 Scout, Maverick", "meta-llama; transformers 5.18, models/llama4")
def llama4(x, w, z):
    """The weight multiplies the input of the one expert."""
    scores = ops.score(ops.linear(x, w.gate()), "sigmoid")
    expert = ops.select(scores, 1)
    weight = ops.weigh(scores, expert)
    y = ops.expert_ffn(x * weight, expert, ops.full(weight.shape, 1.0), *w.projections())
    return y + network(x, w.shared())


@router("Gemma-4", "transformers 5.18, models/gemma4")
def gemma4(x, w, z):
    """The router norms its input; each expert has a scale; the parallel dense network stands outside."""
    norm = x * (1 / ops.sqrt(ops.sum(x * x, 1, keepdims=True) / z.hidden + 1e-6))
    logits = ops.linear(norm * (w("router_scale", z.hidden) * z.hidden**-0.5), w.gate())
    scores = ops.score(logits)
    experts = ops.select(scores, z.top_k)
    weights = ops.weigh(scores, experts, norm="sum") * ops.take(w("scale", z.experts), experts.reshape(-1)).reshape(
        -1, z.top_k
    )
    return ops.expert_ffn(x, experts, weights, *w.projections(), activation=_activation("geglu_tanh"))


@router("Nemotron-3 (latent experts, squared relu)", "transformers 5.18, models/nemotron_h")
def nemotron(x, w, z):
    """Experts work on a narrower row; the router reads the whole one."""
    latent = z.hidden // 2
    scores = ops.score(ops.linear(x, w.gate()), "sigmoid")
    experts = ops.select(scores, 3, bias=w("bias", z.experts))
    weights = ops.weigh(scores, experts, norm="sum", plus=1e-20, scale=5.0)
    row, perm, offsets = ops.assign(experts, z.experts)
    rows = ops.dispatch(ops.linear(x, w("down_latent", latent, z.hidden)), perm, 3)
    hidden = ops.relu(ops.grouped_matmul(rows, w("in", z.experts, z.intermediate, latent), offsets))
    ys = ops.grouped_matmul(hidden * hidden, w("out", z.experts, latent, z.intermediate), offsets)
    y = ops.linear(ops.combine(ys, row, weights), w("up_latent", z.hidden, latent))
    common = ops.relu(ops.linear(x, w("shared_in", z.intermediate, z.hidden)))
    return y + ops.linear(common * common, w("shared_out", z.hidden, z.intermediate))


@router("Kimi-K3 (SiTU, latent experts)", "NVIDIA-NeMo/Megatron-Bridge, kimi_k3_ops.py")
def kimi_k3(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()), "sigmoid")
    experts = ops.select(scores, 4, bias=w("bias", z.experts))
    weights = ops.weigh(scores, experts, norm="sum", plus=1e-20)
    situ = _activation("situ", alpha=4.0, beta=25.0)
    return ops.expert_ffn(x, experts, weights, *w.projections(), activation=situ)


# ===----------------------------------------------------------------------===#
# Without a fixed number of experts, without scores, without dispatch
# ===----------------------------------------------------------------------===#


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


@router("Heterogeneous experts", "HMoE: Wang et al. 2024, arXiv:2408.10681", cu=CU)
def heterogeneous(x, w, z, cu):
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


# ===----------------------------------------------------------------------===#
# Programs
# ===----------------------------------------------------------------------===#


def build(names: list[str], sizes: Sizes) -> tuple[Program, dict[str, dict[str, np.ndarray]]]:
    """One program with a function for each router, and the weights of each."""
    program, arrays = Program(), {}
    for name in names:
        entry = ROUTERS[name]
        weights = Weights(program, name, sizes)

        def function(x, _entry=entry, _weights=weights, **others):
            return _entry.build(x, _weights, sizes, **others)

        function.__name__ = name
        program.function(x=ops.f32("T", sizes.hidden), **entry.arguments(sizes))(function)
        arrays[name] = weights.arrays
    return program, arrays


if __name__ == "__main__":
    for name in ROUTERS:
        Path(sys.argv[1], f"{name}.mlir").write_text(str(build([name], Sizes())[0]))
