# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes docs/routers.md: each published router, the operations it maps to, its error and its speed on this machine.

usage: python test/Bench/router_table.py [--tokens N] [--threads N] [--seconds S]
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / path) for path in ("python", "test/Python", "test/Programs", "test/Integration")]

from catalogue import compile_all, errors, inputs  # noqa: E402
from oracles import ORACLES  # noqa: E402
from routers import ROUTERS, Sizes, build  # noqa: E402

import moec  # noqa: E402

SPEED = Sizes(hidden=256, intermediate=512, experts=16, top_k=2)
CHECKED = (1, 17, 64)
NOTE = "<!-- Written by test/Bench/router_table.py. -->\n"
TEXT = """# Routers and expert bodies

Each row is a program of [test/Programs/routers](../test/Programs/routers), with the operations of the
[dialect](dialect.md) that it maps to, elementwise arithmetic and `load_parameter` left out. The error is the largest
against the oracle in float64, relative to the largest expected element or 1, over {checked} tokens.
Tokens per second are the median of calls on {tokens} tokens with hidden size {speed.hidden}, intermediate size
{speed.intermediate}, {speed.experts} experts, f32, {threads} threads of {cpu}: what is not fused yet shows.
`python test/Programs/routers DIR` writes each program as MLIR.

| architecture | source | operations | oracle | error | tokens/s |
|---|---|---|---|---|---|
"""


def operations(text: str) -> str:
    """The moe operations of a program, in order, without operands and types."""
    found = []
    for line in text.splitlines():
        _, mark, operation = line.partition(" = moe.")
        if mark and not operation.startswith("load_parameter"):
            operation = re.sub(r"\([^()]*\)", "", operation)
            operation = re.split(r" : | -> | \{", operation)[0]
            operation = re.sub(r"(?: at| by| like)? %[\w.#]+,?", "", operation)
            found.append(" ".join(re.sub(r"\b(?:ins|outs|offsets|into \d+)\b", "", operation).split()))
    counted = [(name, len(list(run))) for name, run in groupby(found)]
    return ", ".join(f"`{name}`" + (f" x{count}" if count > 1 else "") for name, count in counted)


def speed(name: str, model, tokens: int, seconds: float) -> float:
    """Median tokens per second."""
    x, others = inputs(name, SPEED, tokens)
    call, times = getattr(model, name), []
    call(x, *others)
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call(x, *others)
        times.append(time.perf_counter() - start)
    return tokens / statistics.median(times)


def cpu() -> str:
    return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        small.mkdir(), large.mkdir()
        packages = compile_all(Sizes(), small, "v3"), compile_all(SPEED, large, "v3,v4")
        rows = []
        for name, router in ROUTERS.items():
            (package, arrays), (fast, _) = (compiled[name] for compiled in packages)
            model = moec.load(package, options.threads)
            error = max(max(errors(name, model, arrays, tokens)) for tokens in CHECKED)
            rate = speed(name, moec.load(fast, options.threads), options.tokens, options.seconds)
            text = operations(str(build([name], Sizes())[0]))
            rows.append(
                f"| {router.title} | {router.source} | {text} | {ORACLES[name].name} | {error:.0e} | {rate:,.0f} |"
            )
            print(rows[-1], flush=True)
    checked = ", ".join(map(str, CHECKED[:-1])) + f" and {CHECKED[-1]}"
    head = TEXT.format(checked=checked, speed=SPEED, tokens=options.tokens, threads=options.threads, cpu=cpu())
    (ROOT / "docs/routers.md").write_text(NOTE + "\n" + head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
