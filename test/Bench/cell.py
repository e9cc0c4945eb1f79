# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One cell: contenders that have prepared a layer or model, on inputs of one size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import machine
import numpy as np
from contender import Contender, Refusal
from environments import OURS
from shapes import ERROR, MODEL_ERROR, Kind

PAIRS = 15
"""Turns of each contender at least."""

CHECKED = 16
"""Rows of a result that are compared: float64 takes long."""

DISTURBED = 0.03
"""Share of the CPUs that others may have; a cell in which they had more is measured again."""

TRIES = 3
"""Measurements of a cell at most."""


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

    def __init__(self, labels: dict, kind: Kind, flops: float, bytes: float):
        self._kind = kind
        self.result = labels | {"kind": str(kind), "flops": flops, "bytes": bytes, "contenders": {}}

    def run(
        self,
        group: list[tuple[Contender, str]],
        inputs: np.ndarray,
        exact: Callable[[np.ndarray], np.ndarray] | None,
        scratch: Path,
        rooflines: machine.Rooflines,
        timing: AbstractContextManager,
        cpus: set[int],
        seconds: float,
    ) -> None:
        """Time contenders in turns, `seconds` for each at least, on inputs [calls, ...].

        `exact` makes the exact results [n, H] of rows [n, H] of the first input. Without it, results are compared with
        those of the first contender.
        """
        path = scratch / "inputs.npy"
        np.save(path, inputs)
        self._checked, self._wanted = slice(None), None
        if exact:
            self._checked = np.linspace(0, len(inputs[0]) - 1, min(len(inputs[0]), CHECKED)).astype(int)
            self._wanted = exact(inputs[0, self._checked])
        processes = [rooflines.process.pid, *(contender.pid for contender, _ in group)]
        with timing:
            turns = [self._check(*one, cpus, path, scratch / "result.npy") for one in group]
            turns = [one for one in turns if one]
            units = {one.variant: rooflines.unit(self._kind.compute, one.variant) for one in turns if one.ours}
            measured = sorted({machine.BANDWIDTH, *units.values()})
            for _ in range(TRIES):
                machine.wait_for_quiet(cpus, DISTURBED)
                bystanders = machine.Bystanders(cpus, processes)
                rates = self._take_turns(turns, rooflines, measured, seconds)
                disturbed = bystanders.share()
                if disturbed < DISTURBED:
                    break
        self.result["disturbed"] = max(disturbed, self.result.get("disturbed", 0))
        self._summarize(turns, rates, units)

    def _check(self, contender, variant, cpus, path, result) -> Turns | None:
        """Compares a result with the one that is wanted, and takes a first turn; None if the contender refuses."""
        turns = Turns(contender, variant, 0)
        try:
            contender.move(cpus)
            contender.inputs(path)
            got = contender.output(variant, result)[self._checked]
            if self._wanted is None:
                self._wanted = got
            turns.error = float(np.sqrt(np.mean((got - self._wanted) ** 2) / np.mean(self._wanted**2)))
            limit = MODEL_ERROR if "model" in self.result else ERROR[self._kind.format]
            if not turns.error < limit:
                raise Refusal(f"error {turns.error:.1e}, expected below {limit}")
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
            # Ours are in every group of contenders; those of the first count.
            summary = contenders.setdefault(one.name, one.summary())
            if one.ours and "share" not in summary:
                bounds = [self._bound(rate, units[one.variant]) for rate in rates]
                summary["share"] = statistics.median(bound / mine for bound, mine in zip(bounds, one.times))
            elif baseline and not one.ours:
                summary["ratio"] = statistics.median(theirs / mine for theirs, mine in zip(one.times, baseline))
        if rates:
            self.result["rates"] = {name: statistics.median(rate[name] for rate in rates) for name in rates[0]}

    def _bound(self, rates: dict[str, float], unit: str) -> float:
        """Least seconds of a call: arithmetic and reading can happen at the same time."""
        return max(self.result["flops"] / rates[unit], self.result["bytes"] / rates[machine.BANDWIDTH])

    def __str__(self) -> str:
        labels = ("layer", "model", "kind", "routing", "tokens", "past")
        described = " ".join(str(self.result[name]) for name in labels if name in self.result)
        times = [
            f"{name} {1e3 * found['median']:.2f} ms "
            + (f"({found['ratio']:.2f})" if "ratio" in found else f"{100 * found.get('share', 0):.0f} %")
            for name, found in self.result["contenders"].items()
            if "median" in found
        ]
        return f"{described}: {', '.join(times)}; others {100 * self.result.get('disturbed', 0):.0f} %"
