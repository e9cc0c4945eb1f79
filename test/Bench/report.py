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
of a peer its ratio.

| layer | hidden | intermediate | experts | of a token | shared |
| --- | --- | --- | --- | --- | --- |
{layers}

![share of the roofline](performance/shares.svg)

![ratio to the best peer](performance/ratios.svg)

## Worst cells

{worst}

## Cells

{cells}

## Whole models

Four layers with random weights, sizes as above with attention and vocabulary of the published models: a prompt of so
many tokens in an empty cache, or one token behind 128. Results are compared with ours. The roofline counts products and
their weights.

{models}

## Refused

What a contender could not do, in its own words.

{refused}

## Machine

{machine}
"""


def pages() -> dict[str, str]:
    """Text of each file, by its path in docs."""
    runs = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    for run in runs:
        for cell in run["cells"] + run["models"]:
            cell["threads"] = run["threads"]
    # A cell is that of the newest run that has it.
    found = {key(cell): (cell, run) for run in runs for cell in run["cells"]}
    cells = [found[name][0] for name in sorted(found, key=order)]
    models = {model_key(cell): (cell, run) for run in runs for cell in run["models"]}
    users = [user for _, user in [*found.values(), *models.values()]]
    used = [run for run in runs if any(run is user for user in users)]
    layers = [row([s.name, s.hidden, s.inner, s.experts, s.top_k, s.shared or ""]) for s in SHAPES.values()]
    text = TEXT.format(
        layers="\n".join(layers),
        worst=worst(cells),
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
    return cell["model"], cell["kind"], cell["threads"], cell["tokens"]


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
        lines.append(row([*columns, verdict(ratio(cell))]).replace("nan", ""))
    return "\n".join(lines)


def models_table(cells: list[dict]) -> str:
    """Tokens a second, ours and the peer's."""
    head = [
        "model",
        "kind",
        "threads",
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
            columns = [cell["model"], cell["kind"], cell["threads"], cell["tokens"], milliseconds(found["median"])]
            columns += [f"{cell['tokens'] / found['median']:,.0f}", percent(found["share"])]
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


def worst(cells: list[dict]) -> str:
    """The three cells in which the best peer is farthest ahead."""
    compared = sorted((*best_peer(cell), key(cell)) for cell in cells if best_peer(cell))
    lines = [row(["cell", "best peer", "its time / ours"]), row(["---"] * 3)]
    for ratio, peer, (layer, kind, threads, routing, tokens) in compared[:3]:
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
