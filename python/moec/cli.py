# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The command ``moec``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import moec
from moec.compiler import compile_checkpoint
from moec.errors import Error
from moec.generate import stream
from moec.hf import import_checkpoint
from moec.package import describe
from moec.run import load
from moec.text import TextStream


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status, 1 after an error, which is one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except Error as error:
        print(f"moec: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="moec", description=moec.__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=f"moec {moec.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    for run, summary in ((_compile, "compile a checkpoint to a package"), (_import, "print a checkpoint as MLIR")):
        command = commands.add_parser(run.__name__[1:], help=summary, description=summary)
        command.add_argument("checkpoint", type=Path, help="folder with config.json and safetensors files")
        command.add_argument("-o", dest="output", type=Path, required=True, help="what to write")
        command.add_argument("--block", metavar="NAME", help="only this module, e.g. model.layers.0.mlp")
        command.add_argument("--shapes-only", action="store_true", help="read config.json alone, no weights")
        command.set_defaults(run=run)
        if run is _compile:
            command.add_argument(
                "--format", help="of weights: f32, bf16, f16, int8, q8_0, q4_0, mxfp4; default: their own"
            )
            command.add_argument("--compute", help="what products round their rows to: f32, the default, bf16 or int8")
            command.add_argument(
                "--isa", metavar="LEVELS", help="of CPUs: v3,v4 and others of x86-64, or neon of AArch64"
            )
            command.add_argument(
                "--target", type=Path, metavar="FILE", help="of moe-compile --tune: how to cut the work"
            )

    summary = "say what a package is"
    command = commands.add_parser("inspect", help=summary, description=summary)
    command.add_argument("package", type=Path)
    command.set_defaults(run=_inspect)

    summary = "continue a text"
    command = commands.add_parser("generate", help=summary, description=summary)
    command.add_argument("package", type=Path)
    command.add_argument("--prompt", required=True, metavar="TEXT")
    command.add_argument("--max-new-tokens", type=int, default=128, metavar="N", help="default: %(default)s")
    command.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0, the default, is greedy")
    command.add_argument("--top-p", type=float, default=1.0, metavar="P", help="default: %(default)s")
    command.add_argument("--seed", type=int, metavar="S", help="makes draws repeatable")
    command.set_defaults(run=_generate)
    return parser


def _print(text: str, end: str = "\n") -> None:
    """Print at once. A reader that wants no more ends the command, as it ends others; other failures are an `Error`."""
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        # Python writes what is left when it ends, and must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        raise Error(f"standard output: {error.strerror}") from None


def _compile(options: argparse.Namespace) -> None:
    compile_checkpoint(
        options.checkpoint,
        options.output,
        options.block,
        options.shapes_only,
        options.format,
        options.compute,
        options.isa,
        options.target,
    )


def _import(options: argparse.Namespace) -> None:
    text = import_checkpoint(options.checkpoint, options.block, options.shapes_only)
    try:
        options.output.write_text(text, "utf-8")
    except OSError as error:
        raise Error(f"{options.output}: {error.strerror}") from None


def _inspect(options: argparse.Namespace) -> None:
    for line in describe(options.package):
        _print(line)


def _generate(options: argparse.Namespace) -> None:
    from tokenizers import Tokenizer

    path = options.package / "tokenizer.json"
    if not path.exists():
        raise Error(f"{path}: expected a tokenizer, got none")
    tokenizer = Tokenizer.from_file(str(path))
    prompt = tokenizer.encode(options.prompt).ids
    text = TextStream(tokenizer, prompt)
    sampling = (options.max_new_tokens, options.temperature, options.top_p, options.seed)
    model, count, start = load(options.package), 0, time.perf_counter()
    for _, token in stream(model, [prompt], *sampling):
        _print(text.push(token), end="")
        count += 1
    _print(text.flush())
    seconds = time.perf_counter() - start
    print(f"{count} tokens in {seconds:.2f} s, {count / seconds:.0f} tokens/s", file=sys.stderr)
