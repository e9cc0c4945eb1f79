# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Published formulas: loops over tokens and experts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from moec import reference
from oracles.oracle import Oracle

ORACLES: dict[str, Oracle] = {}


def oracle(name: str) -> Callable:
    """Add a formula for the router of the function's name."""

    def add(compute: Callable) -> Callable:
        ORACLES[compute.__name__] = Oracle(name, compute)
        return compute

    return add


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gated(x, gate, up, down, activation=silu):
    """One gated network."""
    return down @ (activation(gate @ x) * (up @ x))


def experts(w, activation=silu, prefix=""):
    """Each expert as a function."""
    weights = zip(w[prefix + "gate"], w[prefix + "up"], w[prefix + "down"])
    return [lambda x, e=e: gated(x, *e, activation) for e in weights]


def relu_experts(w):
    return [lambda x, i=i, o=o: o @ np.maximum(i @ x, 0) for i, o in zip(w["in"], w["out"])]


def shared(x, w, activation=silu):
    return np.stack([gated(row, w["shared_gate"], w["shared_up"], w["shared_down"], activation) for row in x])


def mix(x, gates, functions):
    """The sum over experts of gate times result, for each token; a gate of 0 asks for nothing."""
    rows = [
        sum((gate * f(row) for gate, f in zip(own, functions) if gate != 0), np.zeros_like(row))
        for row, own in zip(x, gates)
    ]
    return np.array(rows).reshape(x.shape)


def keep(gates, k):
    """All but the k largest gates of each token become 0."""
    kept = np.zeros_like(gates)
    for row, own in zip(kept, gates):
        for e in sorted(range(len(own)), key=lambda e: -own[e])[:k]:
            row[e] = own[e]
    return kept


def normalized(gates, floor=0.0):
    return gates / np.maximum(gates.sum(1, keepdims=True), floor)


def best(x, k):
    """Mask of the k largest elements of each row."""
    return keep(np.exp(x - x.max(1, keepdims=True, initial=0)), k) > 0


FORMULA = "formula"


@oracle(FORMULA)
def dense(x, w):
    return mix(x, softmax(x @ w["router"].T), experts(w))


@oracle("densities of scipy's kind, in loops")
def gaussian(x, w):
    def density(row, mean, precision):
        return np.prod(np.sqrt(precision / (2 * np.pi)) * np.exp(-0.5 * precision * (row - mean) ** 2))

    rows = [
        [a * density(row, mean, precision) for a, mean, precision in zip(w["prior"], w["mean"], w["precision"])]
        for row in x
    ]
    gates = np.array(rows).reshape(len(x), -1)
    return mix(x, normalized(gates), experts(w))


@oracle(FORMULA)
def hierarchical_dense(x, w):
    outer, logits = softmax(x @ w["outer"].T), x @ w["router"].T
    half = logits.shape[1] // 2
    gates = np.concatenate([outer[:, :1] * softmax(logits[:, :half]), outer[:, 1:] * softmax(logits[:, half:])], 1)
    return mix(x, gates, experts(w))


@oracle("formula; tensor2tensor's losses")
def noisy_top_k(x, w, seed):
    clean = x @ w["router"].T
    deviation = np.log1p(np.exp(x @ w["noise"].T)) + 1e-2
    logits = clean + reference.noise("normal", seed, clean) * deviation
    gates = normalized(softmax(logits) * best(logits, 2))
    load = np.zeros(logits.shape[1])
    for own, noisy, std in zip(clean, logits, deviation):
        ordered = sorted(noisy, reverse=True)
        for e, value in enumerate(noisy):
            threshold = ordered[2] if value > ordered[2] else ordered[1]
            load[e] += 0.5 * (1 + math.erf((own[e] - threshold) / std[e] / math.sqrt(2)))

    def squared_variation(sums):
        return sums.var() / (sums.mean() ** 2 + 1e-10)

    return mix(x, gates, experts(w)), squared_variation(gates.sum(0)), squared_variation(load)


@oracle(FORMULA)
def hierarchical(x, w):
    outer, inner = softmax(x @ w["outer"].T), w["router"]
    size = inner.shape[1]
    gates = np.zeros((len(x), 2 * size))
    for row, own, gate in zip(x, outer, gates):
        group = int(own.argmax())
        scores = softmax(inner[group] @ row)
        gate[group * size : (group + 1) * size] = own[group] * normalized(keep(scores[None], 2))[0]
    return mix(x, gates, experts(w))


def sequences(x, cu):
    return [range(begin, end) for begin, end in zip(cu[:-1], cu[1:])]


@oracle("formula; transformers' class enforces capacity likewise")
def switch(x, w, cu):
    gates = keep(softmax(x @ w["router"].T), 1)
    for tokens in sequences(x, cu):
        counts = np.zeros(gates.shape[1])
        for t in tokens:
            e = gates[t].argmax()
            counts[e] += 1
            if counts[e] > 4:
                gates[t] = 0
    return mix(x, gates, relu_experts(w))


def one_hot(indices, depth):
    return np.eye(depth)[indices]


@oracle("one-hot masks as in Mesh TensorFlow")
def gshard(x, w, cu, seed):
    draw = reference.noise("uniform", seed, np.zeros((len(x), 1)))[:, 0]
    gates = softmax(x @ w["router"].T)
    count = gates.shape[1]
    combined = np.zeros_like(gates)
    for tokens in sequences(x, cu):
        own = gates[list(tokens)]
        first = one_hot(own.argmax(1), count) if len(own) else own
        second = one_hot((own * (1 - first)).argmax(1), count) if len(own) else own
        g1, g2 = (own * first).sum(1), (own * second).sum(1)
        total = g1 + g2 + 1e-9
        g1, g2 = g1 / total, g2 / total
        second = second * (2 * g2 > draw[list(tokens)])[:, None]
        capacity = max(int(len(own) * 2.0 / count), 4)
        place1 = np.cumsum(first, 0) - first
        place2 = np.cumsum(second, 0) - second + first.sum(0)
        combined[list(tokens)] = g1[:, None] * first * (place1 < capacity) + g2[:, None] * second * (place2 < capacity)
    return mix(x, combined, relu_experts(w))


@oracle("formula: transformers' class runs experts 0 and 1 only")
def nllb(x, w, cu):
    gates = keep(softmax(x @ w["router"].T), 2)
    for tokens in sequences(x, cu):
        capacity = math.ceil(2 * len(tokens) / gates.shape[1])
        counts = np.zeros(gates.shape[1])
        ranked = {t: np.argsort(-gates[t], kind="stable")[:2] for t in tokens}
        for choice in range(2):
            for t in tokens:
                e = ranked[t][choice]
                counts[e] += 1
                if counts[e] > capacity:
                    gates[t, e] = 0
    functions = [
        lambda row, i=i, a=a, o=o, b=b: o @ np.maximum(i @ row + a, 0) + b
        for i, a, o, b in zip(w["in"], w["in_bias"], w["out"], w["out_bias"])
    ]
    return mix(x, normalized(gates, np.finfo(np.float32).eps), functions)


@oracle(FORMULA)
def conditional(x, w):
    gate = sigmoid(x @ w["cmr"].T + w["cmr_bias"])
    mixture = mix(x, normalized(keep(softmax(x @ w["router"].T), 2)), experts(w))
    return (1 - gate) * shared(x, w) + gate * mixture


@oracle(FORMULA)
def expert_choice(x, w, cu):
    gates = softmax(x @ w["router"].T)
    for tokens in sequences(x, cu):
        capacity = max(int(np.rint(2 * len(tokens) / gates.shape[1])), 1)
        for e in range(gates.shape[1]):
            for t in sorted(tokens, key=lambda t: -gates[t, e])[capacity:]:
                gates[t, e] = 0
    return mix(x, gates, experts(w))


@oracle(FORMULA)
def depths(x, w, cu):
    weight, y = x @ w["router"][0], x.astype(np.float64).copy()
    (function,) = experts(w)
    for tokens in sequences(x, cu):
        for t in sorted(tokens, key=lambda t: -weight[t])[: max(math.ceil(len(tokens) / 8), 1)]:
            y[t] += weight[t] * function(x[t])
    return y


@oracle("formula: transformers has map and reduce without what stands between")
def jetmoe_heads(x, w):
    rows = []
    for row in x:
        logits = w["router"] @ row
        chosen = np.argsort(-logits)[:2]
        heads = [w["out"][e] @ np.tanh(w["query"][e] @ row) for e in chosen]
        rows.append(softmax(logits[chosen]) @ heads + w["bias"])
    return np.array(rows).reshape(x.shape)


@oracle(FORMULA)
def arctic(x, w):
    return x + shared(x, w) + mix(x, normalized(keep(softmax(x @ w["router"].T), 2)), experts(w))


@oracle(FORMULA)
def grok(x, w):
    return mix(x, keep(softmax(x @ w["router"].T), 2), experts(w, gelu_tanh))


@oracle(FORMULA)
def residual(x, w):
    c = softmax(x @ w["mix"].T + w["mix_bias"])
    return c[:, :1] * mix(x, keep(softmax(x @ w["router"].T), 1), experts(w)) + c[:, 1:] * shared(x, w)


@oracle(FORMULA)
def deepseek_v2(x, w):
    scores = softmax(x @ w["router"].T)
    by_group = scores.reshape(len(x), 4, 2)
    kept = best(by_group.max(2), 2)
    gates = keep((by_group * kept[:, :, None]).reshape(scores.shape), 3)
    return 16 * mix(x, gates, experts(w)) + shared(x, w)


@oracle(FORMULA)
def deepseek_v4_hash(x, w, tokens):
    scores = np.sqrt(np.log1p(np.exp(x @ w["router"].T)))
    mask = np.zeros_like(scores)
    for own, token in zip(mask, np.clip(tokens, 0, 49)):
        own[w["table"][token]] = 1
    gates = 1.5 * normalized(scores * mask)

    def limited(gate, up, down):
        return lambda row: down @ (silu(np.minimum(gate @ row, 0.5)) * np.clip(up @ row, -0.5, 0.5))

    functions = [limited(*weights) for weights in zip(w["gate"], w["up"], w["down"])]
    common = limited(w["shared_gate"], w["shared_up"], w["shared_down"])
    return mix(x, gates, functions) + mix(x, np.ones((len(x), 1)), [common])


@oracle("transformers Gemma4TextRouter, in NumPy")
def gemma4(x, w):
    norm = x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-6) * w["router_scale"] * x.shape[1] ** -0.5
    gates = normalized(keep(softmax(norm @ w["router"].T), 2)) * w["scale"]
    return mix(x, gates, experts(w, gelu_tanh))


@oracle(FORMULA)
def kimi_k3(x, w):
    scores = sigmoid(x @ w["router"].T)
    gates = normalized(scores * best(scores + w["bias"], 4))

    def situ(gate, up, down):
        return lambda row: down @ (4 * np.tanh(gate @ row / 4) * sigmoid(gate @ row) * 25 * np.tanh(up @ row / 25))

    return mix(x, gates, [situ(*weights) for weights in zip(w["gate"], w["up"], w["down"])])


@oracle(FORMULA)
def remoe(x, w):
    return mix(x, np.maximum(x @ w["router"].T, 0), experts(w))


@oracle(FORMULA)
def top_p(x, w):
    gates = softmax(x @ w["router"].T)
    for own in gates:
        total = 0.0
        for e in np.argsort(-own, kind="stable"):
            if total >= 0.7:
                own[e] = 0
            total += own[e]
    return mix(x, gates, experts(w))


@oracle("einsums as in vmoe")
def soft(x, w, cu):
    y = np.zeros(x.shape)
    functions = experts(w)
    slots = w["slots"].reshape(len(functions), 2, -1)
    mu = slots / np.sqrt((slots**2).sum(-1, keepdims=True) + 1e-6)
    for tokens in map(list, sequences(x, cu)):
        if not tokens:
            continue
        own = x[tokens]
        unit = own / np.sqrt((own**2).sum(1, keepdims=True) + 1e-6)
        logits = 5 * np.einsum("mh,nph->mnp", unit, mu)
        dispatch = np.exp(logits) / np.exp(logits).sum(0)
        combine = np.exp(logits) / np.exp(logits).sum((1, 2), keepdims=True)
        xs = np.einsum("mnp,mh->nph", dispatch, own)
        ys = np.array([[f(row) for row in rows] for f, rows in zip(functions, xs)])
        y[tokens] = np.einsum("mnp,nph->mh", combine, ys)
    return y


@oracle(FORMULA)
def hash_layers(x, w, tokens):
    functions = relu_experts(w)
    chosen = w["table"][np.clip(tokens, 0, 49), 0]
    return np.array([functions[e](row) for e, row in zip(chosen, x)]).reshape(x.shape)


@oracle(FORMULA)
def base(x, w):
    affinity = x @ w["router"].T
    share = keep(sigmoid(affinity), 1)
    return mix(x, share, experts(w)) + (1 - share.sum(1, keepdims=True)) * x


@oracle("formula of moe_plus_plus_layer.py")
def moe_plus_plus(x, w, previous):
    logits = np.tanh(x @ w["gate_in"].T) @ w["gate_out"].T + previous @ w["gate_map"].T
    gates = keep(softmax(logits), 2)
    gates[:, -1] = 0
    with np.errstate(invalid="ignore"):
        gates = np.nan_to_num(normalized(gates))

    def constant(vector, mixer):
        def function(row):
            a, b = softmax(mixer @ row)
            return a * row + b * vector

        return function

    functions = experts(w) + [constant(*c) for c in zip(w["constants"], w["mixers"])] + [lambda row: row]
    return mix(2 * x, gates[:, :-1], functions), logits


@oracle(FORMULA)
def heterogeneous(x, w):
    gates = normalized(keep(softmax(x @ w["router"].T), 2))

    def convolution(row):
        padded = np.pad(row, 1)
        return sum(w["kernel"][i] * padded[i : i + len(row)] for i in range(3))

    functions = experts(w, prefix="narrow_") + experts(w, prefix="wide_")
    functions += [lambda row: w["out"] @ np.maximum(w["in"] @ row, 0), convolution, lambda row: row]
    return mix(x, gates, functions)
