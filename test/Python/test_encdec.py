# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Encoder-decoders against transformers, and the promises that every compiled model keeps."""

import copy
import functools
import subprocess

import numpy as np
import pytest
from tiny import write_config
from tiny_encdec import ENCODERS

import moec
from moec.hf.encdec import Buckets
from moec.hf.families import read_spec
from moec.native import find_tool

SOURCES = [[5, 17, 3, 88, 41, 9, 60], [7, 7, 23], list(range(10, 55)), [130]]
TEXTS = [[0, 11, 3, 5], [0], [0, *range(30, 60)], [0, 4, 2]]
SLOT = [2, 0, 3, 1]

every_model = pytest.mark.parametrize("switched", [False, True], ids=["plain", "switched"])
every_family = pytest.mark.parametrize("family", sorted(ENCODERS))


@functools.lru_cache(maxsize=None)
def reference(family, switched):
    """A random model of transformers in f32; the switched one's weights are bf16."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.set_num_threads(1)
    plain, changes = ENCODERS[family]
    config = transformers.AutoConfig.for_model(**plain | (changes if switched else {}))
    torch.manual_seed(0)
    model = transformers.AutoModelForSeq2SeqLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1, 0.2) if name.endswith("norm.weight") else parameter.normal_(0, 0.2)
            if switched:
                parameter.copy_(parameter.bfloat16())
    return model


@pytest.fixture(autouse=True, scope="module")
def nllb_by_the_paper():
    """Let each expert of NLLB take the tokens for which the router has a weight for it."""
    nllb = pytest.importorskip("transformers.models.nllb_moe.modeling_nllb_moe")

    def forward(self, hidden_states, router_mask, router_probs):
        experts = [self[f"expert_{number}"](hidden_states) for number in range(self.num_experts)]
        results = [y * router_probs[:, number, None] for number, y in enumerate(experts)]
        return sum(results) * (1 - self.moe_token_dropout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nllb.NllbMoeExperts, "forward", forward)
        yield


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """Folder of a model's package, compiled once."""
    try:
        find_tool("moe-compile")
    except moec.Error as error:
        pytest.skip(str(error))

    @functools.lru_cache(maxsize=None)
    def build(family, switched):
        folder, model = tmp_path_factory.mktemp(family), reference(family, switched)
        model = copy.deepcopy(model).bfloat16() if switched else model
        model.save_pretrained(folder / "checkpoint")
        moec.compile_checkpoint(folder / "checkpoint", folder / "package")
        return folder / "package"

    return build


def expected_logits(model, source, text):
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([text])).logits[0].numpy()


def in_float64(model):
    import torch

    model = copy.deepcopy(model).double()
    for module in model.modules():
        if hasattr(module, "expert_capacity"):
            module.dtype = torch.float64
    return model


def concatenated(sequences):
    return np.concatenate(sequences).astype(np.int32), np.cumsum([0, *map(len, sequences)])


NONE = np.zeros(0, np.int32)


def reserved(folder, threads=None):
    """A model whose states hold what other sources and texts left there."""
    model = moec.load(folder, threads)
    model.reserve(4, 64, 4 * 64)
    other, cu = concatenated(np.random.default_rng(0).integers(0, model.vocab, (4, 64)))
    model.encode(other, cu, range(4))
    model.forward(other, cu, [0] * 4, range(4), NONE)
    return model


def answers(model, sources, texts, slot):
    """Logits of all tokens of the texts."""
    model.encode(*concatenated(sources), slot)
    tokens, cu = concatenated(texts)
    return np.split(model.forward(tokens, cu, [0] * len(slot), slot, np.arange(len(tokens))), cu[1:-1])


@every_model
@every_family
def test_logits(family, switched, package):
    """No farther from the float64 model than 16 times what the float32 model of transformers is."""
    model = reference(family, switched)
    precise = in_float64(model)
    logits = answers(reserved(package(family, switched)), SOURCES, TEXTS, SLOT)
    for source, text, got in zip(SOURCES, TEXTS, logits):
        expected = expected_logits(precise, source, text)
        allowed = 16 * np.abs(expected_logits(model, source, text) - expected).max()
        assert np.abs(got - expected).max() <= allowed


@every_model
@every_family
def test_greedy_tokens(family, switched, package):
    import torch

    model = reference(family, switched)
    expected = []
    for source in SOURCES:
        ids = model.generate(torch.tensor([source]), max_new_tokens=24, do_sample=False)
        expected.append(ids[0, 1:].tolist())
    assert moec.load(package(family, switched)).generate(SOURCES, 24) == expected
    assert moec.load(package(family, switched)).generate(SOURCES[0], 24) == expected[0]


@every_family
def test_moe_run(family, package):
    """The tool encodes its prompt too."""
    ids = ",".join(map(str, SOURCES[0]))
    command = [find_tool("moe-run"), package(family, True), "--prompt-ids", ids, "--max-new-tokens", "9"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert list(map(int, result.stdout.split())) == moec.load(package(family, True)).generate(SOURCES[0], 9)


@every_model
@every_family
def test_alone_in_a_batch_and_on_threads(family, switched, package):
    together = answers(reserved(package(family, switched), 3), SOURCES, TEXTS, SLOT)
    model = reserved(package(family, switched), 1)
    for source, text, expected in zip(SOURCES, TEXTS, together):
        np.testing.assert_array_equal(answers(model, [source], [text], [1])[0], expected)


@every_family
def test_token_by_token(family, package):
    """A text in parts, beside another one, has the bits of the whole: with capacity for all, experts see one token."""
    model = reserved(package(family, False))
    text = TEXTS[2]
    (whole,) = answers(model, SOURCES[2:3], [text], [1])
    model.encode(*concatenated([SOURCES[0], SOURCES[2]]), [3, 2])
    begin = 0
    for end in (1, 2, 9, 30, 31):
        tokens, cu = concatenated([TEXTS[2][begin:end], text[begin:end]])
        logits = model.forward(tokens, cu, [begin] * 2, [3, 2], np.arange(len(tokens)))
        np.testing.assert_array_equal(logits[end - begin :], whole[begin:end])
        begin = end


@pytest.mark.parametrize("count, distance", [(32, 128), (8, 20), (5, 7)])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets(count, distance, bidirectional):
    torch = pytest.importorskip("torch")
    switch = pytest.importorskip("transformers.models.switch_transformers.modeling_switch_transformers")
    function = switch.SwitchTransformersAttention._relative_position_bucket
    distances = torch.arange(-3 * distance, 3 * distance + 1)
    expected = function(distances, bidirectional, count, distance).numpy()
    columns = np.clip(distances.numpy(), -distance, distance) + distance
    np.testing.assert_array_equal(np.array(Buckets(count, distance).numbers(bidirectional))[columns], expected)


@every_family
def test_nothing(family, package):
    model = reserved(package(family, True))
    model.encode(NONE, [0], NONE)
    assert model.forward(NONE, [0], NONE, NONE, NONE).shape == (0, 131)
    assert model.generate([], 5) == []


@pytest.mark.parametrize(
    "tokens, cu, slot, message",
    [
        ([131], [0, 1], [0], r"encode: tokens\[0\]: expected an index from 0 below 131, got 131"),
        ([1], [0, 1], [4], r"encode: slot\[0\]: expected an index from 0 below 4, got 4"),
        ([1, 1], [0, 1, 2], [2, 2], r"encode: slot\[1\]: expected a slot of its own, got 2 again"),
        ([1], [0, 0, 1], [0, 1], "encode: sequence 0: expected at least 1 token, got 0"),
        ([1] * 65, [0, 65], [0], r"encode: sequence 0: expected at most 64 tokens \(max_len\), got 65"),
    ],
)
def test_bad_sources(package, tokens, cu, slot, message):
    with pytest.raises(moec.Error, match=message):
        reserved(package("nllb_moe", True)).encode(tokens, cu, slot)


def test_no_source(package):
    """A slot without a source has no answer."""
    model = moec.load(package("nllb_moe", True))
    with pytest.raises(moec.Error, match="encode: expected reserve to be called first"):
        model.encode([1], [0, 1], [0])
    model.reserve(1, 8, 8)
    assert np.isnan(model.forward([0], [0, 1], [0], [0], [0])).all()


@every_family
def test_no_block(tmp_path, family):
    folder = write_config(tmp_path, ENCODERS[family][0] | {"dtype": "float32"})
    with pytest.raises(moec.Error, match=r"encoder.block.1.layer.1.mlp: expected no block of an encoder-decoder"):
        moec.import_checkpoint(folder, "encoder.block.1.layer.1.mlp", shapes_only=True)


@pytest.mark.parametrize(
    "family, key, value",
    [
        ("nllb_moe", "activation_function", "gelu"),
        ("nllb_moe", "encoder_attention_heads", 5),
        ("nllb_moe", "moe_eval_capacity_token_fraction", 0.5),
        ("nllb_moe", "second_expert_policy", "random"),
        ("switch_transformers", "dense_act_fn", "gelu"),
        ("switch_transformers", "is_decoder", True),
        ("switch_transformers", "num_selected_experts", 2),
        ("switch_transformers", "router_bias", True),
    ],
)
def test_unsupported(tmp_path, family, key, value):
    with pytest.raises(moec.Error, match=f"config.json: {key}: expected "):
        read_spec(write_config(tmp_path, ENCODERS[family][0] | {key: value}))


def test_published(tmp_path):
    """Keys of Switch checkpoints that today's class of transformers does not have."""
    config = ENCODERS["switch_transformers"][0]
    keys = {"feed_forward_proj": "relu", "is_gated_act": False, "num_selected_experts": 1}
    expected = read_spec(write_config(tmp_path / "today", config))
    assert read_spec(write_config(tmp_path / "published", config | keys)) == expected
