# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""DeepSeek and its relatives."""

import numpy as np

from moec import ops
from routers.program import activation, network, router
from routers.softmax import mixtral


@router("DeepSeek-V2", "arXiv:2405.04434")
def deepseek_v2(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()))
    experts = ops.select(scores, 3, groups=ops.Groups(4, keep=2, fill=0))
    y = ops.expert_ffn(x, experts, ops.weigh(scores, experts, scale=16.0), *w.projections())
    return y + network(x, w.shared(2 * z.intermediate))


def _sigmoid_routed(x, w, z, scale, groups=None):
    scores = ops.score(ops.linear(x, w.gate()), "sigmoid")
    experts = ops.select(scores, 3, bias=w("bias", z.experts), groups=groups)
    weights = ops.weigh(scores, experts, norm="sum", plus=1e-20, scale=scale)
    return ops.expert_ffn(x, experts, weights, *w.projections()) + network(x, w.shared())


@router("DeepSeek-V3, R1", "arXiv:2412.19437")
def deepseek_v3(x, w, z):
    return _sigmoid_routed(x, w, z, 2.5, ops.Groups(4, keep=2, terms=2))


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
    limited = activation("swiglu", limit=0.5)
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
    return ops.expert_ffn(x, experts, weights, *w.projections(), activation=activation("geglu_tanh"))


@router("Nemotron-3 (latent experts, squared relu)", "transformers 5.18, models/nemotron_h")
def nemotron(x, w, z):
    """Experts work on a narrower row; the router reads the whole one."""
    latent = z.hidden // 2
    scores = ops.score(ops.linear(x, w.gate()), "sigmoid")
    experts = ops.select(scores, 3, bias=w("bias", z.experts))
    weights = ops.weigh(scores, experts, norm="sum", plus=1e-20, scale=5.0)
    row, perm, offsets = ops.assign(experts, z.experts)
    rows = ops.dispatch(ops.linear(x, w("down_latent", latent, z.hidden)), perm, 3)
    hidden = ops.glu(ops.grouped_matmul(rows, w("in", z.experts, z.intermediate, latent), offsets), kind="relu2")
    ys = ops.grouped_matmul(hidden, w("out", z.experts, latent, z.intermediate), offsets)
    y = ops.linear(ops.combine(ys, row, weights), w("up_latent", z.hidden, latent))
    common = ops.glu(ops.linear(x, w("shared_in", z.intermediate, z.hidden)), kind="relu2")
    return y + ops.linear(common, w("shared_out", z.hidden, z.intermediate))


@router("Kimi-K3 (SiTU)", "NVIDIA-NeMo/Megatron-Bridge, kimi_k3_ops.py")
def kimi_k3(x, w, z):
    scores = ops.score(ops.linear(x, w.gate()), "sigmoid")
    experts = ops.select(scores, 4, bias=w("bias", z.experts))
    weights = ops.weigh(scores, experts, norm="sum", plus=1e-20)
    situ = activation("situ", alpha=4.0, beta=25.0)
    return ops.expert_ffn(x, experts, weights, *w.projections(), activation=situ)
