# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The parent's side of a contender: a process that sleeps, stopped, until its turn."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
from pathlib import Path

import numpy as np
from environments import Peer

TURN = 0.1
"""Seconds of calls of a turn at least: the first call of a turn finds caches full of another's data."""


PATIENCE = 300
"""Seconds until a contender that does not answer is killed."""


class Refusal(Exception):
    """A contender cannot do what is asked; the text is its reason."""


def place(process: int, cpus: set[int]) -> None:
    """Run all threads of a process on these CPUs from now on."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cpus)


class Contender:
    """A process that runs one layer.

    Parameters
    ----------
    peer : Peer
    threads : int
    log : path
        File for what it prints.
    what : str
        ``"layer"`` or ``"model"``: which of its scripts.
    """

    def __init__(self, peer: Peer, threads: int, log: Path, what: str = "layer"):
        self.name = peer.name
        self._threads = threads
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": "",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        with open(log, "a") as output:
            self._process = subprocess.Popen(
                [peer.python(), peer.script(what)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env=environment,
                start_new_session=True,
            )

    def prepare(self, **job) -> None:
        """Build a layer or model, of the job that `worker.serve` describes.

        Raises
        ------
        Refusal
        """
        self._ask(prepare=job | {"threads": self._threads})

    def inputs(self, path: Path) -> None:
        """Use the rows of a file, an array [calls, T, H] f32, from now on."""
        self._ask(inputs=str(path))

    def output(self, variant: str, path: Path) -> np.ndarray:
        """Result [T, H] for the first of the inputs."""
        self._ask(output={"variant": variant, "path": str(path)})
        return np.load(path)

    def turn(self, variant: str, seconds: float = TURN) -> list[float]:
        """Seconds of each call."""
        return self._ask(turn={"variant": variant, "seconds": seconds})["times"]

    def move(self, cpus: set[int]) -> None:
        """Run on these CPUs from now on."""
        if self._process.poll() is None:
            place(self.pid, cpus)

    @property
    def pid(self) -> int:
        return self._process.pid

    def resident(self) -> int:
        """Bytes of memory that are its own."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return 1024 * int(status.partition("RssAnon:")[2].split()[0])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()

    def _ask(self, **request):
        # A stopped process cannot spin, as threads of a pool do between calls.
        self._process.send_signal(signal.SIGCONT)
        line = ""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request), file=self._process.stdin, flush=True)
            if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
                self._process.kill()
            line = self._process.stdout.readline()
        if not line:
            raise Refusal(f"ended with status {self._process.wait()}")
        self._process.send_signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "refused" in answer:
            raise Refusal(answer["refused"])
        return answer
