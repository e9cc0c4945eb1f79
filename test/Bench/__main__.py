# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measures MoE layers beside their peers, in turns; keeps the numbers in test/Bench/results.

Hidden states go in and come out: router, softmax, top-k, experts, weighted sum. Every contender has the weights in as
many copies as exceed the caches, and every call takes other rows with other experts, so that weights come from memory
as they do in a deep model. Each result is compared with float64 before anything is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import machine
from cell import Cell
from contender import Contender, Refusal, place
from environments import OURS, PEERS, ROOT
from layer import Exact, write_weights
from shapes import BITS, KINDS, ROUTINGS, SHAPES, TOKENS, Kind, Shape

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

from worker import Weights  # noqa: E402

SCRATCH = ROOT / "build/bench"

ROTATED = 1.5e9
"""Bytes of weights that calls rotate through."""


def main() -> None:
    options = parse()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    place(os.getpid(), options.prepare_cpus)
    date = datetime.now(timezone.utc)
    path = ROOT / "test/Bench/results" / f"{date:%Y-%m-%dT%H%M%S}.json"
    result = {
        "date": f"{date:%Y-%m-%d %H:%M} UTC",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "threads": options.threads,
        "rooflines": [],
        "cells": [],
    }
    with contextlib.closing(machine.Rooflines(SCRATCH, options.threads)) as rooflines:

        def everything():
            with timing(options):
                place(rooflines.process.pid, options.cpus)
                result["rooflines"].append(rooflines.measure(rooflines.names, 20))
            path.write_text(json.dumps(result, indent=1) + "\n")

        everything()
        for name in options.layer:
            for kind in options.kind:
                result["cells"] += measure(SHAPES[name], kind, rooflines, options)
                path.write_text(json.dumps(result, indent=1) + "\n")
        everything()
    print(path)


def parse() -> argparse.Namespace:
    kinds = {str(kind): kind for kind in KINDS}
    parser = argparse.ArgumentParser(prog="tools/dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one layer, balanced, three numbers of tokens")
    quick = "--quick" in sys.argv
    parser.add_argument("--layer", nargs="+", choices=SHAPES, default=["olmoe"] if quick else list(SHAPES))
    parser.add_argument(
        "--kind", nargs="+", choices=kinds, default=list(kinds), help="format of weights * compute type"
    )
    parser.add_argument("--tokens", nargs="+", type=int, default=[1, 16, 256] if quick else list(TOKENS))
    parser.add_argument("--routing", nargs="+", choices=ROUTINGS, default=ROUTINGS[: 1 if quick else None])
    parser.add_argument("--peer", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--isa", nargs="+", default=["best"], help="levels of ours; best is the loader's choice")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=2, help="of turns of each contender in a cell at least")
    parser.add_argument("--memory", type=float, default=8, help="GiB for contenders that are timed in turns")
    parser.add_argument("--cpus", type=cpus, default=os.sched_getaffinity(0), help="to time on, as 2,3")
    parser.add_argument("--prepare-cpus", type=cpus, default=os.sched_getaffinity(0), help="for everything else")
    parser.add_argument("--lock", type=Path, help="file whose lock is held while a cell is timed")
    options = parser.parse_args()
    options.kind = [kinds[name] for name in options.kind]
    return options


def cpus(text: str) -> set[int]:
    return {int(number) for number in text.split(",")}


@contextlib.contextmanager
def timing(options: argparse.Namespace):
    """Waits until nobody else times, and moves to the CPUs for that."""
    with open(options.lock or os.devnull) as file:
        if options.lock:
            fcntl.flock(file, fcntl.LOCK_EX)
        place(os.getpid(), options.cpus)
        try:
            yield
        finally:
            place(os.getpid(), options.prepare_cpus)


def measure(shape: Shape, kind: Kind, rooflines: machine.Rooflines, options: argparse.Namespace) -> list[dict]:
    """All cells of a layer and a kind. Peers that do not fit in memory together are timed in groups, each with ours."""
    weights = SCRATCH / "weights" / shape.name
    if not (weights / "done").exists():
        write_weights(shape, weights)
        (weights / "done").touch()
    size = shape.size * BITS[kind.format] / 8
    copies = math.ceil(ROTATED / size)
    cells = [
        Cell(shape, kind, routing, tokens)
        for routing in options.routing
        for tokens in sorted(options.tokens, reverse=True)
    ]
    waiting = [PEERS[name] for name in options.peer if kind.format in PEERS[name].variants]
    refused, exact = {}, Exact(shape, Weights(weights / "bf16"))
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        while OURS.name not in refused:
            budget = options.memory * 2**30
            with contextlib.ExitStack() as stack:
                group = []
                for peer in [OURS, *waiting]:
                    # Some keep what they pack from beside what they have packed.
                    if group and budget < 2 * copies * size:
                        break
                    variants = options.isa if peer is OURS else peer.variants[kind.format]
                    try:
                        contender = Contender(peer, options.threads, SCRATCH / "contenders.log")
                        stack.callback(contender.close)
                        contender.prepare(shape, kind, variants, copies, weights, Path(scratch))
                        budget -= contender.resident()
                        group += [(contender, variant) for variant in variants]
                    except (Refusal, subprocess.CalledProcessError) as refusal:
                        print(f"{shape.name} {kind} {peer.name}: {refusal}", flush=True)
                        refused[peer.name] = {"refused": str(refusal)}
                        if peer is OURS:
                            break
                    if peer is not OURS:
                        waiting.remove(peer)
                for cell in cells if OURS.name not in refused else []:
                    cell.run(group, exact, Path(scratch), rooflines, timing(options), options.cpus, options.seconds)
                    print(cell, flush=True)
            if not waiting:
                break
    for cell in cells:
        cell.result["contenders"] |= refused
    return [cell.result for cell in cells]


if __name__ == "__main__":
    main()
