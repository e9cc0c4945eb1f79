# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs that are built with moec.ops compute what NumPy computes of the same expressions in f64."""

import math

import numpy as np
import pytest

import moec
from moec import ops, reference
from moec.native import find_tool

try:
    find_tool("moe-compile")
except moec.Error:
    pytest.skip("needs moe-compile", allow_module_level=True)

# Relative to the largest result, or to 1, about which arguments are: an expression here has up to 8 roundings to f32,
# an exponential among them up to 4 itself; sums have 36 terms, whose errors have random signs.
TOLERANCE = 16 * 2.0**-24

PROGRAM = ops.Program()
CASES = {}


def random(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


ROUTER = PROGRAM.weight("router", random(1, 7, 36) / 6)
BIAS = PROGRAM.weight("bias", random(2, 7))
NARROW = PROGRAM.weight("narrow", random(3, 5, 36) / 6, "bf16")
TABLE = PROGRAM.weight("table", random(4, 11, 3))
GATE = PROGRAM.weight("gate", random(5, 7, 23, 36) / 6, "bf16")
UP = PROGRAM.weight("up", random(6, 7, 23, 36) / 6)
DOWN = PROGRAM.weight("down", random(7, 7, 36, 23) / 5)

X = Y = ops.f32("T", 7)
INDICES = ops.i32("T")


def case(expected, **types):
    """Add a function to the program; `expected` says what it computes."""

    def add(function):
        CASES[function.__name__] = types, expected
        return PROGRAM.function(**types)(function)

    return add


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


erf = np.vectorize(math.erf, otypes="d")


@case(lambda x, y: 1 - (x + y) * 2 / (y * y + 1) - -x, x=X, y=Y)
def arithmetic(x, y):
    return 1 - (x + y) * 2 / (y * y + 1) - -x


@case(lambda x, y: np.abs(x) ** np.minimum(y, 1.5), x=X, y=Y)
def power(x, y):
    return ops.abs(x) ** ops.minimum(y, 1.5)


@case(lambda x: (x + BIAS.array, x - x[:, 2:3], x * x.sum(1, keepdims=True), 3 * BIAS.array), x=X)
def broadcast(x):
    return x + BIAS, x - x[:, 2:3], x * ops.sum(x, 1, keepdims=True), 3 * BIAS


@case(lambda x: (np.exp(x), np.log(np.abs(x) + 1), np.sqrt(np.abs(x)), np.tanh(x), erf(x)), x=X)
def functions(x):
    return ops.exp(x), ops.log(ops.abs(x) + 1), ops.sqrt(ops.abs(x)), ops.tanh(x), ops.erf(x)


@case(lambda x: (sigmoid(x), np.maximum(x, 0), x * sigmoid(x), x * (1 + erf(x / 2**0.5)) / 2), x=X)
def activations(x):
    return ops.sigmoid(x), ops.relu(x), ops.silu(x), ops.gelu(x)


@case(lambda x: np.logaddexp(0, x), x=X)
def softplus(x):
    return ops.softplus(x)


@case(lambda x, y: (np.where((x > y) & ~(x < 0) | (y != y), x, -1), np.float32(x >= 0), x <= y), x=X, y=Y)
def conditions(x, y):
    return ops.where((x > y) & ~(x < 0) | (y != y), x, -1), (x >= 0).astype("f32"), x <= y


@case(lambda x: np.where(np.tile(x[:, 3:4] > 0, 20), np.arange(20), -1), x=X)
def kept_conditions(x):
    """Conditions that are written and read again."""
    condition = ops.concatenate([x[:, 3:4] > 0] * 20, axis=1)
    return ops.where(condition, ops.arange(20), -1)


@case(lambda x, i: (i * 3 - 1 + np.maximum(i, 2), x * i[:, None], i == 2), x=X, i=INDICES)
def integers(x, i):
    return i * 3 - 1 + ops.maximum(i, 2), x * i[:, None].astype("f32"), i == 2


@case(lambda x: (x.sum(1), x.sum(0), x.max(1), x.min(0, initial=np.inf), x.max(1, keepdims=True), x.sum()[None]), x=X)
def reductions(x):
    columns = ops.sum(x, 0)
    return (
        ops.sum(x, 1),
        columns,
        ops.max(x, -1),
        ops.min(x, 0),
        ops.max(x, 1, keepdims=True),
        ops.sum(columns, 0).reshape(1),
    )


@case(lambda x: (np.concatenate([x[:, 4:], x[:, :2], x[:, -1:]], 1), x[:, 3], x[:, None, 1], x[:, 1]), x=X)
def parts(x):
    flat = x[:, :3].reshape(-1, 1)
    return ops.concatenate([x[:, 4:], x[:, :2], x[:, -1:]], 1), x[:, 3], x[:, None, 1], flat.reshape(-1, 3)[:, 1]


@case(
    lambda x: (x * [1, -2, 0.5, 0, 3, -1e30, 7], np.broadcast_to(np.arange(7), x.shape), x * 0 + 2.5, x > np.inf), x=X
)
def constants(x):
    return (
        x * ops.constant([1, -2, 0.5, 0, 3, -1e30, 7]),
        ops.broadcast_to(ops.arange(7), x.shape),
        ops.full(x.shape, 2.5),
        ops.full(x.shape, False),
    )


@case(lambda x, i: (TABLE.array[np.clip(i, 0, 10)], np.array([[4, 9], [2, -1]])[np.clip(i, 0, 1)]), x=X, i=INDICES)
def tables(x, i):
    return TABLE[i], ops.take(ops.constant([[4, 9], [2, -1]]), i)


@case(lambda x: (x @ NARROW.array.T, x @ ROUTER.array.T @ ROUTER.array, x @ NARROW.array.T), x=ops.f32("T", 36))
def products(x):
    return ops.linear(x, NARROW), ops.linear(x, ROUTER) @ ROUTER, x @ NARROW.T


def expected_block(x, mask):
    scores = sigmoid(x @ ROUTER.array.T)
    indices = np.where(mask[:, None] > 0, reference.select(scores + BIAS.array, 3), -1)
    weights = 2.5 * reference.weigh(scores, indices, "sum")
    weights = np.where(indices < 0, 0, weights)
    return indices, weights, reference.expert_ffn(x, indices, weights, GATE.array, UP.array, DOWN.array)


@case(expected_block, x=ops.f32("T", 36), mask=ops.i32("T"))
def block(x, mask):
    """A router with a bias for the choice alone; tokens of padding have no expert."""
    scores = ops.sigmoid(ops.linear(x, ROUTER))
    indices = ops.where(mask[:, None] > 0, ops.select(scores + BIAS, 3), -1)
    weights = 2.5 * ops.weigh(scores, indices, norm="sum")
    weights = ops.where(indices < 0, 0, weights)
    return indices, weights, ops.expert_ffn(x, indices, weights, GATE, UP, DOWN)


LOGITS = ops.f32("T", 12)
CU = ops.i32("B+1")


@case(
    lambda s, cu: (
        *(reference.score(s, fn) for fn in ("softmax", "sigmoid", "sqrtsoftplus", "relu")),
        reference.score(s, over_tokens=True),
        reference.score(s, over_tokens=True, cu=cu),
    ),
    s=LOGITS,
    cu=CU,
)
def scores(s, cu):
    plain = (ops.score(s, fn) for fn in ("softmax", "sigmoid", "sqrtsoftplus", "relu"))
    return *plain, ops.score(s, over_tokens=True), ops.score(s, over_tokens=True, cu=cu)


@case(
    lambda s, b: (
        reference.select(s, 12),
        reference.select(s, 4, bias=b),
        reference.select(s, 3, groups=(4, 2, 2, -np.inf)),
        reference.select(s, 3, groups=(4, 2, 1, 0.0)),
        reference.select(s, 5, above=0.5),
        reference.select(reference.score(s), 12, until=0.8),
    ),
    s=LOGITS,
    b=ops.f32(12),
)
def selections(s, b):
    return (
        ops.select(s, 12),
        ops.select(s, 4, bias=b),
        ops.select(s, 3, groups=ops.Groups(4, keep=2, terms=2)),
        ops.select(s, 3, groups=ops.Groups(4, keep=2, fill=0)),
        ops.select(s, 5, above=0.5),
        ops.select(ops.score(s), 12, until=0.8),
    )


def weigh_all(module, s, indices):
    return (
        module.weigh(s, indices),
        module.weigh(s, indices, norm="sum", plus=1e-20, scale=2.5),
        module.weigh(s, indices, norm="sum", at_least=20.0),
        module.weigh(s, indices, norm="l2"),
    )


@case(lambda s: weigh_all(reference, sigmoid(s), reference.select(s, 4)), s=LOGITS)
def weights(s):
    return weigh_all(ops, ops.sigmoid(s), ops.select(s, 4))


@case(
    lambda s, cu: (
        reference.limit(reference.select(s, 2), 12, 1),
        reference.limit(reference.select(s, 2), 12, reference.capacity_of(12, 2.5, "ceil", 2, 2), cu),
        reference.limit(reference.select(s, 2), 12, 2, priority=s[:, :2].astype(np.float32), token_major=True),
    ),
    s=LOGITS,
    cu=CU,
)
def limits(s, cu):
    indices = ops.select(s, 2)
    return (
        ops.limit(indices, 12, 1),
        ops.limit(indices, 12, ops.Capacity(2.5, "ceil", least=2, multiple=2), cu),
        ops.limit(indices, 12, 2, priority=s[:, :2], token_major=True),
    )


@case(
    lambda s: reference.limit(np.broadcast_to(np.arange(12), s.shape), 12, 3, priority=s.astype(np.float32)),
    s=LOGITS,
)
def expert_choice(s):
    """Each expert takes its 3 best tokens."""
    return ops.limit(ops.broadcast_to(ops.arange(12), s.shape), 12, 3, priority=s)


GLUS = [
    {"kind": "swiglu", "alpha": 1.702, "offset": 1.0, "limit": 0.7},
    {"kind": "geglu"},
    {"kind": "geglu_tanh", "limit": 0.5, "post": True},
    {"kind": "reglu"},
    {"kind": "situ", "alpha": 2.0, "beta": 3.0},
]
ACTIVATIONS = [
    {"kind": "silu", "alpha": 2.0},
    {"kind": "gelu"},
    {"kind": "gelu_tanh", "limit": 0.5, "post": True},
    {"kind": "relu", "limit": 0.5},
    {"kind": "relu2"},
]


def activated(module, x, y):
    return tuple(module.glu(x, y, **clauses) for clauses in GLUS) + tuple(
        module.glu(x, **clauses) for clauses in ACTIVATIONS
    )


@case(lambda x, y: activated(reference, x, y), x=X, y=Y)
def glus(x, y):
    return activated(ops, x, y)


def mixed(module, x, logits):
    """Seven experts of three kinds: networks, the identity, and a bias for each."""
    indices = module.select(logits, 2)
    row, perm, offsets = module.assign(indices, 7)

    def bodies(gate, up, down, bias):
        def network(rows, e):
            return module.grouped_matmul(
                module.glu(module.grouped_matmul(rows, gate[e]), module.grouped_matmul(rows, up[e]), "geglu"), down[e]
            )

        return [network, lambda rows, e: rows, lambda rows, e: rows * 0 + bias[e]]

    arrays = (GATE, UP, DOWN, ROUTER)
    bodies = bodies(*(w.array for w in arrays) if module is reference else arrays)
    ys = module.experts(module.dispatch(x, perm, 2), offsets, [4, 1, 2], bodies)
    return module.combine(ys, row, module.weigh(logits, indices))


@case(
    lambda x: mixed(reference, x.astype(np.float32), x @ ROUTER.array.T),
    x=ops.f32("T", 36),
)
def mixture(x):
    return mixed(ops, x, ops.linear(x, ROUTER))


INNER = PROGRAM.weight("inner", random(8, 7, 4, 36) / 6)
LEAVES = PROGRAM.weight("leaves", random(9, 7, 4, 36, 36) / 6, "bf16")


def level(module, x, router, experts, body):
    """Each token's two best experts of one level of a hierarchy."""
    logits = module.grouped_matmul(x, router)
    indices = module.select(logits, 2)
    row, perm, offsets = module.assign(indices, experts)
    ys = module.experts(module.dispatch(x, perm, 2), offsets, [experts], [body])
    return module.combine(ys, row, module.score(module.weigh(logits, indices)))


def levels(module, x, router, inner, leaves):
    """Seven mixtures of four experts (arXiv:1701.06538, appendix B)."""

    def mixture(rows, e):
        return level(module, rows, inner[e], 4, lambda rows, j: module.grouped_matmul(rows, leaves[e, j]))

    return level(module, x, router, 7, mixture)


@case(lambda x: levels(reference, x, ROUTER.array, INNER.array, LEAVES.array), x=ops.f32("T", 36))
def hierarchy(x):
    return levels(ops, x, ROUTER, INNER, LEAVES)


def soft(module, x, logits, cu):
    slots = module.soft_dispatch(x, module.score(logits, over_tokens=True, cu=cu), cu)
    return module.soft_combine(slots, module.score(logits), cu)


@case(
    lambda x, cu: (soft(reference, x, x @ ROUTER.array.T, cu), soft(reference, x, x @ ROUTER.array.T, None)),
    x=ops.f32("T", 36),
    cu=CU,
)
def soft_mixture(x, cu):
    logits = ops.linear(x, ROUTER)
    return soft(ops, x, logits, cu), soft(ops, x, logits, None)


def training_terms(module, s, cu, seed, counts):
    scores, indices = module.score(s), module.select(s, 2)
    return (
        module.aux_loss("balance", scores, indices, cu, scale=0.01),
        module.aux_loss("z", s),
        module.aux_loss("cv2", scores),
        module.bias_update("sign", BIAS if module is ops else BIAS.array, counts, 0.001),
        *(module.noise(distribution, seed, s) for distribution in ("uniform", "normal", "gumbel")),
    )


@case(
    lambda s, cu, seed, counts: training_terms(reference, s, cu, seed, counts),
    s=LOGITS,
    cu=CU,
    seed=ops.i32(2),
    counts=ops.i32(7),
)
def training(s, cu, seed, counts):
    return training_terms(ops, s, cu, seed, counts)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    package = tmp_path_factory.mktemp("ops") / "cases.moe"
    moec.compile(PROGRAM, package)
    return moec.load(package)


def inputs(types, tokens):
    rng = np.random.default_rng(tokens)
    for name, type in types.items():
        if name == "cu":  # three groups, the second without tokens
            yield np.array([0, tokens // 3, tokens // 3, tokens], np.int32)
            continue
        shape = [tokens if isinstance(extent, str) else extent for extent in type.shape]
        if type.dtype == "i32":
            yield rng.integers(-3, 14, shape).astype(np.int32)
        else:
            yield rng.normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("tokens", [0, 1, 17])
@pytest.mark.parametrize("name", CASES)
def test_case(model, name, tokens):
    types, expected = CASES[name]
    arrays = list(inputs(types, tokens))
    actual = getattr(model, name)(*arrays)
    with np.errstate(invalid="ignore"):
        wanted = expected(*(array.astype(np.float64) if array.dtype == np.float32 else array for array in arrays))
    if not isinstance(actual, tuple):
        actual, wanted = (actual,), (wanted,)
    assert len(actual) == len(wanted)
    for a, w in zip(actual, wanted):
        assert a.shape == np.shape(w)
        if a.dtype == np.float32:
            np.testing.assert_allclose(a, w, rtol=0, atol=TOLERANCE * max(1, np.abs(w).max(initial=0)))
        else:
            np.testing.assert_array_equal(a, w)


def test_small_softplus(model):
    """The logarithm of a number near 1 keeps its digits: 4 roundings of an exponential and 8 others."""
    x = np.linspace(-80, 80, 7 * 300, dtype=np.float32).reshape(-1, 7)
    np.testing.assert_allclose(model.softplus(x), np.logaddexp(0, x.astype(np.float64)), rtol=12 * 2.0**-24)
