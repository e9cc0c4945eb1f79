# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One cell: contenders that have prepared a layer, on rows of one routing and number of tokens."""

from __future__ import annotations

import statistics
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import machine
import numpy as np
from contender import Contender, Refusal
from environments import OURS
from layer import Exact, make_inputs
from shapes import BITS, ERROR, Kind, Shape

PAIRS = 15
"""Turns of each contender at least."""

CHECKED = 32
"""Rows of a result that are compared: float64 takes long."""

DISTURBED = 0.03
"""Share of the CPUs that others may have; a cell in which they had more is measured again, once."""


@dataclass
class Turns:
    """What a contender took in one of its variants: the median of the calls of each turn, in seconds."""

    contender: Contender
    variant: str
    error: float
    times: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.contender.name} {self.variant}"

    @property
    def ours(self) -> bool:
        return self.contender.name == OURS.name

    def summary(self) -> dict:
        lower, median, upper = statistics.quantiles(self.times, n=4)
        quartiles = {"median": median, "min": min(self.times), "quartiles": [lower, upper], "pairs": len(self.times)}
        return quartiles | {"error": self.error}


class Cell:
    """What is measured, and the result as it is kept.

    Attributes
    ----------
    result : dict
        ``contenders`` has, by name, a summary or ``refused``; ours have their ``share`` of the roofline there, peers
        the ``ratio`` of their time to ours. ``disturbed`` is the share of the CPUs that bystanders had.
    """

    def __init__(self, shape: Shape, kind: Kind, routing: str, tokens: int):
        self.shape, self.kind, self.routing, self.tokens = shape, kind, routing, tokens
        self.result = {"layer": shape.name, "kind": str(kind), "routing": routing, "tokens": tokens, "contenders": {}}

    def run(
        self,
        group: list[tuple[Contender, str]],
        layer: Exact,
        scratch: Path,
        rooflines: machine.Rooflines,
        timing: AbstractContextManager,
        cpus: set[int],
        seconds: float,
    ) -> None:
        """Time contenders in turns, `seconds` for each at least."""
        path = scratch / "rows.npy"
        # An odd number: copies of the layer come round at other inputs.
        rows, active = make_inputs(self.shape, self.tokens, self.routing, 31 if self.tokens <= 16 else 7)
        np.save(path, rows)
        self.result["flops"] = self.shape.flops(self.tokens)
        self.result["bytes"] = self.shape.bytes(active, BITS[self.kind.format])
        checked = np.linspace(0, self.tokens - 1, min(self.tokens, CHECKED)).astype(int)
        wanted = layer(rows[0, checked])
        processes = [rooflines.process.pid, *(contender.pid for contender, _ in group)]
        with timing:
            turns = [self._check(*one, cpus, path, scratch / "result.npy", checked, wanted) for one in group]
            turns = [one for one in turns if one]
            units = {one.variant: rooflines.unit(self.kind.compute, one.variant) for one in turns if one.ours}
            measured = sorted({machine.BANDWIDTH, *units.values()})
            for _ in range(2):
                bystanders = machine.Bystanders(cpus, processes)
                rates = self._take_turns(turns, rooflines, measured, seconds)
                self.result["disturbed"] = bystanders.share()
                if self.result["disturbed"] < DISTURBED:
                    break
        self._summarize(turns, rates, units)

    def _check(self, contender, variant, cpus, path, result, checked, wanted) -> Turns | None:
        """Compares a result with the exact one, and takes a first turn; None if the contender refuses."""
        turns = Turns(contender, variant, 0)
        try:
            contender.move(cpus)
            contender.inputs(path)
            got = contender.output(variant, result)[checked]
            turns.error = float(np.sqrt(np.mean((got - wanted) ** 2) / np.mean(wanted**2)))
            if not turns.error < ERROR[self.kind.format]:
                raise Refusal(f"error {turns.error:.1e}, expected below {ERROR[self.kind.format]}")
            contender.turn(variant)
        except Refusal as refusal:
            self.result["contenders"][turns.name] = {"refused": str(refusal)}
            return None
        return turns

    def _take_turns(self, turns, rooflines, measured, seconds) -> list[dict[str, float]]:
        """Fills in the times; returns the rates of the machine before each round."""
        rates, end = [], time.perf_counter() + seconds * len(turns)
        for one in turns:
            one.times.clear()
        while turns and (time.perf_counter() < end or len(rates) < PAIRS):
            rates.append(rooflines.measure(measured, 1))
            for one in list(turns):
                try:
                    one.times.append(statistics.median(one.contender.turn(one.variant)))
                except Refusal as refusal:
                    self.result["contenders"][one.name] = {"refused": str(refusal)}
                    turns.remove(one)
        return rates

    def _summarize(self, turns, rates, units) -> None:
        contenders = self.result["contenders"]
        baseline = next((one.times for one in turns if one.ours), None)
        for one in turns:
            summary = contenders[one.name] = one.summary()
            if one.ours:
                bounds = [self._bound(rate, units[one.variant]) for rate in rates]
                summary["share"] = statistics.median(bound / mine for bound, mine in zip(bounds, one.times))
            elif baseline:
                summary["ratio"] = statistics.median(theirs / mine for theirs, mine in zip(one.times, baseline))
        if rates:
            self.result["rates"] = {name: statistics.median(rate[name] for rate in rates) for name in rates[0]}

    def _bound(self, rates: dict[str, float], unit: str) -> float:
        """Least seconds of a call: arithmetic and reading can happen at the same time."""
        return max(self.result["flops"] / rates[unit], self.result["bytes"] / rates[machine.BANDWIDTH])

    def __str__(self) -> str:
        described = " ".join(str(self.result[name]) for name in ("layer", "kind", "routing", "tokens"))
        times = [
            f"{name} {1e3 * found['median']:.2f} ms "
            + (f"({found['ratio']:.2f})" if "ratio" in found else f"{100 * found.get('share', 0):.0f} %")
            for name, found in self.result["contenders"].items()
            if "median" in found
        ]
        return f"{described}: {', '.join(times)}; others {100 * self.result.get('disturbed', 0):.0f} %"
