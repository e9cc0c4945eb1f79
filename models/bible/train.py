#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Train and evaluate the byte-level Mixture-of-Experts language model of this folder.

The text is the King James Version, as the program `bible` of Debian's package bible-kjv prints it. Every 100th verse is
held out. The model is transformers' own ``OlmoeForCausalLM``, so the routing is what that class defines.

    train.py --steps 5500 --threads 2    # trains, writes checkpoint/ and heldout.txt beside this file
    train.py --evaluate checkpoint       # perplexity, expert load and samples of a checkpoint

Needs torch, transformers (5 or later) and, to train, the package bible-kjv.
"""

import argparse
import copy
import math
import subprocess
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import OlmoeConfig, OlmoeForCausalLM, PreTrainedTokenizerFast
from transformers.models.olmoe.modeling_olmoe import load_balancing_loss_func

HERE = Path(__file__).resolve().parent
HOLD_OUT_EVERY = 100
WINDOW = 256  # bytes of a window that perplexity is measured on
PROMPTS = ("In the beginning ", "And Moses said unto ", "Blessed are ")


def read_verses():
    """Return the verses of the King James Version, without their references, in the order of the books.

    Returns
    -------
    list of str
        31102 verses, plain ASCII, without line ends.
    """
    text = subprocess.run(["bible", "-f", "ge1:1-re22:21"], check=True, capture_output=True, text=True).stdout
    return [line.split(" ", 1)[1] for line in text.splitlines()]


def to_tokens(text):
    """Return the UTF-8 bytes of a text as token ids, shape [bytes], int64."""
    return torch.tensor(list(text.encode()))


def build_tokenizer():
    """Return the tokenizer whose ids are the bytes of the text and which adds nothing to it.

    Returns
    -------
    PreTrainedTokenizerFast
        256 tokens and no merges. Token ``b`` is the character that stands for byte ``b`` in byte-level BPE: printable
        Latin-1 stands for itself, the others take the code points from 256 on (``bytes_to_unicode`` of GPT-2).
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printable]
    vocab = {chr(byte if byte in printable else 256 + others.index(byte)): byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, clean_up_tokenization_spaces=False)


def build_model():
    """Return the untrained model, float32: 3.45 M parameters, of which a token uses 1.24 M."""
    config = OlmoeConfig(
        vocab_size=256,
        hidden_size=160,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=5,
        num_experts=16,
        num_experts_per_tok=4,
        norm_topk_prob=False,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        rms_norm_eps=1e-5,
        router_aux_loss_coef=0.01,
        initializer_range=0.05,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    # A loop over experts; on CPUs and at this size it is the fastest of transformers' implementations.
    return OlmoeForCausalLM._from_config(config, experts_implementation="eager")


def save(model, folder):
    """Write the model, rounded to bfloat16, and its tokenizer as a Hugging Face checkpoint."""
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)


def imbalance(router_logits, config):
    """Return the sum over layers of the load-balancing loss, k when a layer is balanced.

    transformers' own training loss takes all layers as one: an expert that is idle in one layer is then made up for by
    its namesake in another one, and stays idle.
    """
    experts, k = config.num_experts, config.num_experts_per_tok
    return sum(load_balancing_loss_func((logits,), experts, k) for logits in router_logits)


@torch.no_grad()
def measure(model, tokens):
    """Measure the likelihood of a text and the load of the experts on it.

    The text is cut into windows of ``WINDOW`` bytes that do not overlap; the last may be shorter. A window is a
    sequence of its own; its first byte is not scored, each other byte is, given those before it in the window.

    Parameters
    ----------
    model : OlmoeForCausalLM
    tokens : Tensor, [N], int64

    Returns
    -------
    nats : float
        Mean negative log-likelihood of a scored byte; its exponential is the perplexity per byte.
    load : Tensor, [layers, experts], float64
        Share of a layer's (token, expert) pairs that went to each expert; each row's sum is 1.
    """
    config = model.config
    nats, scored = 0.0, 0
    counts = torch.zeros(config.num_hidden_layers, config.num_experts, dtype=torch.float64)
    for window in tokens.split(WINDOW):
        output = model(input_ids=window[None], output_router_logits=True, use_cache=False)
        log_probs = output.logits[0, :-1].double().log_softmax(-1)
        nats -= log_probs.gather(1, window[1:, None]).sum().item()
        scored += len(window) - 1
        for layer, logits in enumerate(output.router_logits):
            chosen = logits.topk(config.num_experts_per_tok).indices
            counts[layer] += chosen.flatten().bincount(minlength=config.num_experts)
    return nats / scored, counts / counts.sum(1, keepdim=True)


def describe(nats, load):
    """Return a line with perplexity, bits and the least and the greatest share of an expert in each layer."""
    shares = ", ".join(f"{100 * row.min():.1f}-{100 * row.max():.1f}" for row in load)
    bits = nats / math.log(2)
    return f"perplexity {math.exp(nats):.4f} per byte, {bits:.4f} bits per byte; share of an expert by layer {shares} %"


@torch.no_grad()
def generate(model, prompt, length, temperature=None):
    """Continue a prompt by `length` bytes: greedily, or sampled if a temperature is given.

    Returns
    -------
    str
        The prompt and its continuation.
    """
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    tokens = to_tokens(prompt)[None]
    output = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=length, **sampling)
    return bytes(output[0].tolist()).decode(errors="replace")


def evaluate(folder, heldout):
    """Print perplexity, expert load and samples of a checkpoint, computed in float32 from its bfloat16 weights."""
    model = OlmoeForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    print(describe(*measure(model, to_tokens(heldout.read_text()))))
    for prompt in PROMPTS:
        print(f"\n--- greedy\n{generate(model, prompt, 200)}")
    for prompt in PROMPTS:
        print(f"\n--- temperature 0.7\n{generate(model, prompt, 400, temperature=0.7)}")


def train(steps, out, heldout, batch=8, length=512, peak=3e-3, warmup=100, report=250):
    """Train the model with AdamW on random windows of the text; write it now and then and at the end.

    Parameters
    ----------
    steps : int
        Number of updates.
    out : Path
        Folder of the checkpoint.
    heldout : Path
        File that the held-out verses are written to.
    batch, length : int
        Windows of an update, bytes of a window.
    peak : float
        Greatest learning rate, reached after `warmup` updates; then it falls to zero along a cosine.
    warmup : int
    report : int
        Updates between two measurements on the held-out verses.
    """
    verses = read_verses()
    hidden = verses[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]
    del verses[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]
    heldout.write_text("\n".join(hidden) + "\n")
    tokens, heldout_tokens = to_tokens("\n".join(verses) + "\n"), to_tokens(heldout.read_text())

    model = build_model()
    config = model.config
    matrices = [p for p in model.parameters() if p.dim() > 1]
    norms = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)))
    )

    start, losses = time.monotonic(), []
    for step in range(1, steps + 1):
        first = torch.randint(len(tokens) - length + 1, (batch, 1))
        windows = tokens[first + torch.arange(length)]
        output = model(input_ids=windows, output_router_logits=True, use_cache=False)
        loss = F.cross_entropy(output.logits[:, :-1].flatten(0, 1), windows[:, 1:].flatten())
        (loss + config.router_aux_loss_coef * imbalance(output.router_logits, config)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
        if step % report == 0 or step == steps:
            save(model, out)
            seconds, mean = time.monotonic() - start, sum(losses) / len(losses)
            heldout_line = describe(*measure(model, heldout_tokens))
            print(f"{step:6} {seconds:6.0f} s  loss {mean:.4f}  held-out {heldout_line}", flush=True)
            losses.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5500, help="number of updates (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=HERE / "checkpoint", help="folder of the checkpoint")
    parser.add_argument("--heldout", type=Path, default=HERE / "heldout.txt", help="file of the held-out verses")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    parser.add_argument("--evaluate", type=Path, metavar="CHECKPOINT", help="evaluate a checkpoint, do not train")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    if arguments.evaluate:
        evaluate(arguments.evaluate, arguments.heldout)
    else:
        train(arguments.steps, arguments.out, arguments.heldout)


if __name__ == "__main__":
    main()
