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
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path

import machine
from cell import Cell
from contender import Contender, Refusal, place
from environments import OURS, PEERS, ROOT
from layer import Exact, make_inputs, write_weights
from models import CALLS, MODELS, work, write_checkpoint
from models import inputs as make_tokens
from models import shapes as tensors
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
        "models": [],
    }
    with contextlib.closing(machine.Rooflines(SCRATCH, options.threads)) as rooflines:

        def everything():
            with timing(options):
                place(rooflines.process.pid, options.cpus)
                result["rooflines"].append(rooflines.measure(rooflines.names, 20))
            path.write_text(json.dumps(result, indent=1) + "\n")

        everything()
        run = Run(options, rooflines)
        for kind in options.kind:
            for name in options.layer:
                result["cells"] += run.layer(SHAPES[name], kind)
                path.write_text(json.dumps(result, indent=1) + "\n")
            for name in options.model:
                result["models"] += run.model(name, kind)
                path.write_text(json.dumps(result, indent=1) + "\n")
        everything()
    print(path)


def parse() -> argparse.Namespace:
    kinds = {str(kind): kind for kind in KINDS}
    parser = argparse.ArgumentParser(prog="tools/dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one layer, balanced, three numbers of tokens")
    quick = "--quick" in sys.argv
    parser.add_argument("--layer", nargs="*", choices=SHAPES, default=["olmoe"] if quick else list(SHAPES))
    parser.add_argument("--model", nargs="*", choices=MODELS, default=[] if quick else list(MODELS))
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


class Run:
    """What is asked for, and the machine's rooflines."""

    def __init__(self, options: argparse.Namespace, rooflines: machine.Rooflines):
        self._options, self._rooflines = options, rooflines

    def layer(self, shape: Shape, kind: Kind) -> list[dict]:
        """All cells of a layer and a kind."""
        weights = SCRATCH / "weights" / shape.name
        if not (weights / "done").exists():
            write_weights(shape, weights)
            (weights / "done").touch()
        options, bits, runs = self._options, BITS[kind.format], []
        for routing in options.routing:
            for tokens in sorted(options.tokens, reverse=True):
                # An odd number: copies of the layer come round at other inputs.
                rows, active = make_inputs(shape, tokens, routing, 31 if tokens <= 16 else 7)
                labels = {"layer": shape.name, "routing": routing, "tokens": tokens}
                runs.append((Cell(labels, kind, shape.flops(tokens), shape.bytes(active, bits)), rows))
        size = shape.size * bits / 8
        copies = math.ceil(ROTATED / size)
        job = {"shape": asdict(shape), "copies": copies, "weights": str(weights)}
        peers = [PEERS[name] for name in options.peer]
        exact = Exact(shape, Weights(weights / "bf16"), weights / "exact")
        return self._groups("layer", kind, peers, job, copies * size, runs, exact)

    def model(self, name: str, kind: Kind) -> list[dict]:
        """All cells of a model and a kind."""
        config, weights, bits = MODELS[name], SCRATCH / "models" / name, BITS[kind.format]
        if not (weights / "done").exists():
            write_checkpoint(config, weights)
            (weights / "done").touch()
        runs = []
        for tokens, past in CALLS:
            cell = Cell({"model": name, "tokens": tokens, "past": past}, kind, *work(config, tokens, past, bits))
            runs.append((cell, make_tokens(config, tokens, past)))
        size = sum(map(math.prod, tensors(config).values())) * bits / 8
        peers = [
            replace(PEERS["llama-cpp-python"], variants={name: ("GGUF",) for name in ("bf16", "q8_0", "q4_0", "mxfp4")})
        ]
        return self._groups("model", kind, peers, {"copies": 1, "weights": str(weights)}, size, runs, None)

    def _groups(self, what, kind, peers, job, size, runs, exact) -> list[dict]:
        """Times cells. Peers that do not fit in memory together are timed in groups, each with ours."""
        options, refused = self._options, {}
        waiting = [peer for peer in peers if kind.format in peer.variants]
        with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
            job = job | asdict(kind) | {"scratch": scratch}
            while OURS.name not in refused:
                budget = options.memory * 2**30
                with contextlib.ExitStack() as stack:
                    group = []
                    for number, peer in enumerate([OURS, *waiting]):
                        # Some keep what they pack from beside what they have packed. One at least is beside ours.
                        if number > 1 and budget < 2 * size:
                            break
                        variants = options.isa if peer is OURS else peer.variants[kind.format]
                        try:
                            contender = Contender(peer, options.threads, SCRATCH / "contenders.log", what)
                            stack.callback(contender.close)
                            contender.prepare(**job, variants=variants)
                            budget -= contender.resident()
                            group += [(contender, variant) for variant in variants]
                        except (Refusal, subprocess.CalledProcessError) as refusal:
                            print(f"{kind} {peer.name}: {refusal}", flush=True)
                            refused[peer.name] = {"refused": str(refusal)}
                        if peer is not OURS:
                            waiting.remove(peer)
                        elif not group:
                            break
                    for cell, inputs in runs if group else []:
                        place = timing(options), options.cpus, options.seconds
                        cell.run(group, inputs, exact, Path(scratch), self._rooflines, *place)
                        print(cell, flush=True)
                if not waiting:
                    break
        for cell, _ in runs:
            cell.result["contenders"] |= refused
        return [cell.result for cell, _ in runs]


if __name__ == "__main__":
    main()
