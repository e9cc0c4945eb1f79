# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Each family in short: logits and greedy tokens of one compiled package, against transformers in float64."""

import copy
import itertools
import subprocess

import numpy as np
import pytest
from tiny_families import FAMILIES

import moec
from moec.native import find_tool

torch = pytest.importorskip("torch")
from exact import InDouble  # noqa: E402
from test_models import ragged  # noqa: E402

try:
    find_tool("moe-compile")
except moec.Error:
    pytest.skip("needs moe-compile", allow_module_level=True)

PROMPTS = [[5, 17, 3, 88, 41, 9, 60], [7, 7, 23], list(range(10, 31)), [130]]

# Of all these models the worst was measured to err 1.8 times as much as transformers in f32; hosts round differently.
FACTOR = 16
# A gap between scores far above the rounding of f32, so that every correct program chooses the same experts.
GAP = 1e-5


def separated_text(model):
    """Tokens whose experts every correct program chooses alike, and their logits in float64."""
    for seed in itertools.count():
        ids = np.random.default_rng(seed).integers(0, 131, (3, 40))
        mode = InDouble()
        with torch.no_grad(), mode:
            logits = copy.deepcopy(model).double()(torch.tensor(ids)).logits.numpy()
        if mode.gap > GAP:
            return ids, logits


def compile_for_one_level(checkpoint, package):
    """Most of the time goes into machine code; one level of instruction sets is enough here."""
    command = [find_tool("moe-compile"), "-", f"--checkpoint={checkpoint}", "-o", package, "--isa=v3"]
    subprocess.run(command, input=moec.import_checkpoint(checkpoint), encoding="utf-8", check=True)


@pytest.mark.parametrize("switched", [False, True], ids=["plain", "switched"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_family(family, switched, tiny_model, checkpoint, tmp_path):
    reference = tiny_model(family, switched)
    compile_for_one_level(checkpoint(family, switched), tmp_path / "package")
    model = moec.load(tmp_path / "package")

    ids, exact = separated_text(reference)
    with torch.no_grad():
        bound = FACTOR * np.abs(reference(torch.tensor(ids)).logits.numpy() - exact).max()
    assert np.abs(model.logits(ids) - exact).max() <= bound

    # A part of a text that is alone has the bits of the whole beside another one.
    model.reserve(2, 48, 96)
    whole, text, past = model.forward(*ragged([ids[0], ids[1]], [0, 0], [1, 0])), ids[0], 0
    for end in (1, 8, 40):
        part = model.forward(*ragged([text[past:end]], [past], [1]))
        np.testing.assert_array_equal(part, whole[past:end])
        past = end

    expected = []
    for prompt in PROMPTS:
        tokens = reference.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False, pad_token_id=0)
        expected.append(tokens[0, len(prompt) :].tolist())
    assert model.generate(PROMPTS, 24) == expected
