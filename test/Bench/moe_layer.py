# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times one OLMoE MoE block against every expert backend of transformers, in interleaved pairs.

Both sides get the same weights and hidden states and return hidden states: router, softmax, top-k, experts, weighted
sum. Inputs change from call to call, so that other experts are read each time. Every output is compared with the eager
backend before anything is timed. Prints, per number of tokens, the median of the paired ratios (time of transformers'
best backend / ours), the medians in milliseconds and the number of pairs.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers

import moec
from moec.compiler import compile_checkpoint

BACKENDS = ("eager", "batched_mm", "grouped_mm")

PAUSE = 0.25
"""Seconds before each call: longer than OpenMP's threads of the other side spin for more work."""


def median_pairs(ours, peer, inputs, seconds):
    """Times `ours` and `peer` in turn on changing inputs; returns both lists of seconds."""
    times = ([], [])
    end = time.perf_counter() + seconds
    turn = 0
    while time.perf_counter() < end or len(times[0]) < 7:
        x = inputs[turn % len(inputs)]
        for call, record in zip((ours, peer), times):
            time.sleep(PAUSE)
            start = time.perf_counter()
            call(x)
            record.append(time.perf_counter() - start)
        turn += 1
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32", help="type of the weights")
    parser.add_argument("--shape", type=int, nargs=4, default=(2048, 1024, 64, 8), metavar=("H", "I", "E", "K"))
    parser.add_argument("--seconds", type=float, default=5.0, help="per cell")
    parser.add_argument("--json", type=Path, help="also write the table here")
    options = parser.parse_args()
    hidden, inner, experts, top_k = options.shape
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[options.dtype]
    config = transformers.OlmoeConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_experts=experts,
        num_experts_per_tok=top_k,
        num_hidden_layers=1,
        num_attention_heads=16,
        num_key_value_heads=16,
        vocab_size=256,
        eos_token_id=None,
        dtype=str(dtype).removeprefix("torch."),
    )
    model = transformers.OlmoeForCausalLM(config).to(dtype)
    block = model.model.layers[0].mlp

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        checkpoint = Path(folder)
        model.save_pretrained(checkpoint)
        package = checkpoint / "block.moe"
        compile_checkpoint(checkpoint, package, block="model.layers.0.mlp")
        ours = moec.load(package, threads=options.threads)
        rows = []
        for tokens in options.tokens:
            inputs = [torch.randn(1, tokens, hidden) for _ in range(16)]
            pairs = [(x, x.to(dtype), x[0].numpy()) for x in inputs]
            block.experts.config._experts_implementation = "eager"
            expected = block(pairs[0][1])
            got = ours.block(pairs[0][2])
            error = np.abs(got - expected[0].float().numpy()).max() / expected.abs().max().item()
            limit = 1e-5 if options.dtype == "f32" else 2e-2  # the peer rounds activations to bf16
            if not error < limit:
                raise SystemExit(f"{tokens} tokens: relative error {error:.1e}, expected below {limit}")
            for backend in BACKENDS:

                def peer(pair, backend=backend):
                    block.experts.config._experts_implementation = backend
                    block(pair[1])

                try:
                    peer(pairs[0])
                except RuntimeError as unsupported:
                    rows.append({"tokens": tokens, "backend": backend, "unsupported": str(unsupported)[:80]})
                    continue
                mine, theirs = median_pairs(lambda pair: ours.block(pair[2]), peer, pairs, options.seconds)
                rows.append(
                    {
                        "tokens": tokens,
                        "backend": backend,
                        "pairs": len(mine),
                        "ratio": statistics.median(t / m for t, m in zip(theirs, mine)),
                        "ours_ms": 1e3 * statistics.median(mine),
                        "peer_ms": 1e3 * statistics.median(theirs),
                    }
                )
    print(f"OLMoE block {hidden}/{inner} E{experts} k{top_k}, {options.dtype} weights, {options.threads} threads")
    print("tokens  backend      peer/ours   ours ms   peer ms  pairs")
    for row in rows:
        if "ratio" in row:
            times = f"{row['ratio']:9.2f} {row['ours_ms']:9.2f} {row['peer_ms']:9.2f} {row['pairs']:6}"
            print(f"{row['tokens']:6}  {row['backend']:11}  {times}")
        else:
            print(f"{row['tokens']:6}  {row['backend']:11}  {row['unsupported']}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
