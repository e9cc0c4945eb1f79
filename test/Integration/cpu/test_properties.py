# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What holds for every router and every size: random ones, built with moec.ops, beside the same code on NumPy."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rounding

import moec
from moec import ops, reference
from moec.native import find_tool

INF, NAN = np.inf, np.nan


@dataclass(frozen=True)
class Router:
    """Logits to experts.

    Attributes
    ----------
    fn : str
        Score before the selection; ``"after"`` selects by logits, and the softmax is over the chosen ones.
    by_logits : bool
        Whether logits are selected on and scores weigh.
    groups : tuple or None
        count, keep, terms and fill of `moec.reference.select`.
    bounds, divisor : dict
        Clauses of `select` and `weigh`.
    masked : bool
        Whether tokens are masked before the weights are read, so that no route can be fused.
    """

    experts: int
    k: int
    fn: str
    by_logits: bool
    biased: bool
    groups: tuple[int, int, int, float] | None
    bounds: dict[str, float]
    divisor: dict[str, Any]
    masked: bool

    @property
    def ties(self) -> bool:
        """Whether keys may be equal where logits are not."""
        return self.fn == "relu" or (self.groups is not None and self.groups[3] == 0)

    def compute(self, module: ModuleType, logits: Any, mask: Any, bias: Any) -> tuple[Any, Any]:
        """Indices and weights; tokens whose mask is 0 have no expert."""
        scores = logits if self.fn == "after" else module.score(logits, self.fn)
        groups = self.groups
        if groups and module is ops:
            groups = ops.Groups(*groups)
        bias = bias if self.biased else None
        key = logits if self.by_logits else scores
        chosen = module.select(key, self.k, bias=bias, groups=groups, **self.bounds)
        indices = (ops if module is ops else np).where(mask[:, None] > 0, chosen, -1)
        weights = module.weigh(scores, indices if self.masked else chosen, **self.divisor)
        return indices, module.score(weights) if self.fn == "after" else weights


@dataclass(frozen=True)
class Network:
    """Experts that are networks.

    Attributes
    ----------
    glu : dict
        Clauses of `moec.ops.glu`.
    gated, biased : bool
        Whether there are two products before the activation, and a bias for each product.
    """

    hidden: int
    intermediate: int
    dtype: str
    glu: dict[str, Any]
    gated: bool = True
    biased: bool = False

    def weights(self, experts: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(experts * self.hidden + self.intermediate)
        up, down = (self.intermediate, self.hidden), (self.hidden, self.intermediate)
        shapes = ({"gate": up} if self.gated else {}) | {"up": up, "down": down}
        weights = {role: rng.normal(0, shape[1] ** -0.5, (experts, *shape)) for role, shape in shapes.items()}
        if self.biased:
            weights |= {f"{role}_bias": rng.normal(0, 0.5, (experts, shape[0])) for role, shape in shapes.items()}
        return weights

    def compute(
        self, module: ModuleType, x: Any, indices: Any, slots: Any, weights: dict[str, Any], experts: int
    ) -> Any:
        row, perm, offsets = module.assign(indices, experts)
        rows = module.dispatch(x, perm, indices.shape[1])

        def product(rows, role):
            y = module.grouped_matmul(rows, weights[role], offsets)
            return module.group_add(y, weights[f"{role}_bias"], offsets) if self.biased else y

        hidden = module.glu(*(product(rows, role) for role in ("gate", "up") if role in weights), **self.glu)
        return module.combine(product(hidden, "down"), row, slots)


@dataclass(frozen=True)
class Case:
    """A function: a router, and experts if there is a network."""

    name: str
    router: Router
    network: Network | None = None

    def types(self) -> dict[str, Any]:
        experts = self.router.experts
        types = {"logits": ops.f32("T", experts), "mask": ops.i32("T"), "bias": ops.f32(experts)}
        return types | ({"x": ops.f32("T", self.network.hidden)} if self.network else {})

    def compute(self, module: ModuleType, weights: dict[str, Any], logits: Any, mask: Any, bias: Any, x: Any = None):
        """Indices, weights of slots, and what the experts say."""
        routed = self.router.compute(module, logits, mask, bias)
        if self.network is None:
            return routed
        return *routed, self.network.compute(module, x, *routed, weights, self.router.experts)

    def inputs(self, tokens: int) -> dict[str, np.ndarray]:
        """Random arguments, no token masked."""
        rng, experts = np.random.default_rng(tokens), self.router.experts
        arrays = {"logits": rng.normal(0, 2, (tokens, experts)), "mask": np.ones(tokens, np.int32)}
        arrays["bias"] = rng.normal(0, 0.3, experts)
        if self.network:
            arrays["x"] = rng.normal(0, 1, (tokens, self.network.hidden))
        return {name: array if name == "mask" else array.astype(np.float32) for name, array in arrays.items()}


def random_router(rng: np.random.Generator) -> Router:
    def pick(*values):
        return values[rng.integers(len(values))]

    experts = pick(1, 3, 8, 8, 17)
    groups = (4, 2, pick(1, 2), pick(0.0, -INF)) if experts == 8 and pick(True, False) else None
    fn = pick("softmax", "sigmoid", "sqrtsoftplus", "relu", "after")
    divisor = pick({}, {"norm": "sum"}, {"norm": "sum", "plus": 1e-20, "scale": 2.5}, {"norm": "sum", "at_least": 0.5})
    return Router(
        experts=experts,
        k=pick(1, min(2, experts), 4 if groups else experts),
        fn=fn,
        by_logits=pick(False, False, True),
        biased=pick(False, True),
        groups=groups,
        bounds=pick({}, {}, {"above": 0.25}, {"until": 0.75}),
        divisor={} if fn == "after" else pick(divisor, {"norm": "l2"}),
        masked=pick(False, False, True),
    )


def random_cases() -> Iterator[Case]:
    rng = np.random.default_rng(1)
    for number in range(30):
        yield Case(f"router{number}", random_router(rng))
    networks = [
        Network(1, 1, "f32", {}),
        Network(3, 704, "bf16", {"kind": "geglu"}),
        Network(232, 3, "bf16", {"alpha": 1.702, "offset": 1, "limit": 0.5}, biased=True),
        Network(1856, 192, "f32", {"kind": "reglu"}),
        Network(704, 232, "f32", {"kind": "situ", "alpha": 4, "beta": 25}, biased=True),
        Network(40, 33, "bf16", {"kind": "relu2", "limit": 2, "post": True}, gated=False),
        Network(72, 24, "f32", {"kind": "gelu"}, gated=False, biased=True),
    ]
    for network in networks:
        yield Case(f"layer{network.hidden}", random_router(rng), network)


CASES = {case.name: case for case in random_cases()}
PERMUTED = "_permuted"

every_case = pytest.mark.parametrize("name", CASES)


def test_cases_are_various():
    """The random numbers have not left out a choice."""
    routers = [case.router for case in CASES.values()]
    for field, choices in {"experts": 4, "fn": 5, "by_logits": 2, "biased": 2, "masked": 2}.items():
        assert len({getattr(router, field) for router in routers}) == choices
    assert {r.groups[2:] for r in routers if r.groups} == {(1, 0.0), (2, 0.0), (1, -INF), (2, -INF)}
    assert {word for r in routers for word in r.bounds} == {"above", "until"}
    assert {word for r in routers for word in r.divisor} == {"norm", "plus", "scale", "at_least"}
    assert any(r.k == r.experts > 1 for r in routers)
    assert any(case.network and case.router.experts > 3 for case in CASES.values())


def order_of(router: Router) -> np.ndarray:
    """Another order of the experts; groups stay together."""
    rng = np.random.default_rng(router.k)
    groups = np.arange(router.experts).reshape(router.groups[0] if router.groups else 1, -1)
    return np.concatenate([rng.permutation(group) for group in rng.permutation(groups)])


@functools.cache
def build() -> tuple[ops.Program, dict[str, dict[str, np.ndarray]]]:
    """The program, with a second function for each layer, whose experts are permuted; and the weights by function."""
    program, arrays = ops.Program(), {}

    def add(case, suffix, weights):
        def function(**arguments):
            return case.compute(ops, weights, **arguments)

        function.__name__ = case.name + suffix
        program.function(**case.types())(function)
        arrays[case.name + suffix] = {role: weight.array for role, weight in weights.items()}

    for case in CASES.values():
        given = case.network.weights(case.router.experts) if case.network else {}
        orders = {"": slice(None), PERMUTED: order_of(case.router)} if case.network else {"": slice(None)}
        for suffix, order in orders.items():
            weights = {
                role: program.weight(f"{case.name}.{role}{suffix}", array[order], case.network.dtype)
                for role, array in given.items()
            }
            add(case, suffix, weights)
    return program, arrays


@pytest.fixture(scope="session")
def packages_of_cases(tmp_path_factory):
    """Compiles the program, once for each variant."""

    @functools.cache
    def compile(fuse):
        folder, (program, _) = tmp_path_factory.mktemp("properties"), build()
        program.save_weights(folder)
        options = [f"--checkpoint={folder}", f"--pipeline-options=fuse={str(fuse).lower()}"]
        command = [find_tool("moe-compile"), "-", "-o", folder / "cases.moe", *options]
        subprocess.run(command, input=str(program), text=True, check=True, stderr=subprocess.DEVNULL)
        return folder / "cases.moe"

    return compile


@pytest.fixture(params=[False, True], ids=["unfused", "fused"])
def call(request, packages_of_cases, isa):
    """Calls a function by name."""
    model = loaded(packages_of_cases(request.param), isa)
    return lambda name, inputs: getattr(model, name)(*inputs.values())


@functools.cache
def loaded(package, isa):
    return moec.load(package, isa=isa)


def bound(case: Case, y: np.ndarray) -> float:
    """As `rounding.experts`, of rows that are finite; their weights are a score away from the reference's."""
    finite = np.abs(y[np.isfinite(y)]).max(initial=0)
    terms = 4 * np.sqrt(case.network.hidden + case.network.intermediate) + case.router.experts + 16
    return terms * rounding.UNIT * finite


def check(call, name: str, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Compare with the reference."""
    case = CASES[name]
    results = call(name, inputs)
    with np.errstate(invalid="ignore", over="ignore"):
        expected = case.compute(reference, build()[1][name], **inputs)
    np.testing.assert_array_equal(results[0], expected[0])
    # Beside the roundings of a softmax, those of a logarithm, a root, a divisor and a factor.
    close = rounding.scores(case.router.experts) + 8 * rounding.UNIT
    np.testing.assert_allclose(results[1], expected[1], rtol=close, atol=2.0**-126)
    if case.network:
        np.testing.assert_allclose(results[2], expected[2], rtol=0, atol=bound(case, expected[2]))
    return results


@every_case
@pytest.mark.parametrize("tokens", [0, 1, 23])
def test_reference(call, name, tokens):
    check(call, name, CASES[name].inputs(tokens))


@every_case
def test_extremes(call, name):
    """Tied, infinite and missing logits. Others are such that no square of a score is less than f32 holds."""
    inputs = CASES[name].inputs(40)
    values = np.array([0, 0.5, -1, -INF, INF, NAN, 20, -20], np.float32)
    logits = inputs["logits"]
    chosen = np.random.default_rng(0).choice(values, logits.shape, p=[0.2, 0.2, 0.2, 0.1, 0.05, 0.05, 0.1, 0.1])
    inputs["logits"] = np.where(np.arange(40)[:, None] % 4 == 0, logits, chosen)
    check(call, name, inputs)


@every_case
def test_one_expert_has_all_tokens(call, name):
    inputs = CASES[name].inputs(23)
    inputs["logits"][:, CASES[name].router.experts // 2] = 12
    check(call, name, inputs)


@every_case
def test_padding(call, name):
    """Tokens that are masked out get nothing, and the others what they get anyway, in bits."""
    inputs = CASES[name].inputs(23)
    whole = call(name, inputs)
    padding = np.isin(np.arange(23), [0, 3, 4, 22])
    inputs["mask"][padding] = 0
    masked = check(call, name, inputs)
    assert (masked[0][padding] == -1).all()
    assert CASES[name].network is None or (masked[2][padding] == 0).all()
    for a, b in zip(masked, whole):
        np.testing.assert_array_equal(a[~padding], b[~padding])


@every_case
def test_alone(call, name):
    """A token alone has the bits that it has in a batch."""
    inputs = CASES[name].inputs(23)
    together = call(name, inputs)
    for token in range(0, 23, 3):
        own = {role: array if role == "bias" else array[token : token + 1] for role, array in inputs.items()}
        for a, b in zip(call(name, own), together):
            np.testing.assert_array_equal(a[0], b[token])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.router.ties])
def test_permutation(call, name):
    """The order of the experts decides what they are called, and nothing else, unless keys are equal."""
    case, inputs = CASES[name], CASES[name].inputs(23)
    order = order_of(case.router)
    permuted = inputs | {"logits": inputs["logits"][:, order], "bias": inputs["bias"][order]}
    indices, *rest = call(name, inputs)
    permuted_indices, *permuted_rest = call(name + PERMUTED if case.network else name, permuted)
    np.testing.assert_array_equal(np.where(permuted_indices < 0, -1, order[permuted_indices]), indices)
    # The sum of a softmax has another order.
    np.testing.assert_allclose(permuted_rest[0], rest[0], rtol=2 * rounding.scores(case.router.experts))
    if case.network:
        np.testing.assert_allclose(permuted_rest[1], rest[1], rtol=0, atol=2 * bound(case, rest[1]))
