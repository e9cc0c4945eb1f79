# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled models against transformers, and the promises that every compiled model keeps."""

import functools
import shutil

import numpy as np
import pytest
from tiny import CONFIGS, write_config

import moec
from moec.cli import main
from moec.native import find_tool
from moec.package import read_manifest

torch = pytest.importorskip("torch")

try:
    find_tool("moe-compile")
except moec.Error:
    pytest.skip("needs moe-compile", allow_module_level=True)

# Logits are up to 6; correct programs that round differently were measured to differ by 1e-5.
TOLERANCE = 1e-4

PROMPTS = [[5, 17, 3, 88, 41, 9, 60], [7, 7, 23], list(range(10, 31)), [130]]

every_model = pytest.mark.parametrize("switched", [False, True], ids=["plain", "switched"])
every_family = pytest.mark.parametrize("family", sorted(CONFIGS))


@pytest.fixture(scope="session")
def package(checkpoint, tmp_path_factory):
    """Folder of a model's package, compiled once."""

    @functools.lru_cache(maxsize=None)
    def build(family, switched=False, dtype="float32", block=None):
        folder = tmp_path_factory.mktemp("packages") / family
        moec.compile_checkpoint(checkpoint(family, switched, dtype), folder, block)
        return folder

    return build


def expected_logits(model, prompt):
    with torch.no_grad():
        return model(torch.tensor([prompt])).logits[0].numpy()


def ragged(chunks, past, slot, rows=None):
    """Arguments of `forward` for the next tokens of several sequences; logits of all rows by default."""
    tokens = np.array([token for chunk in chunks for token in chunk], np.int32)
    cu = np.cumsum([0, *map(len, chunks)]).astype(np.int32)
    rows = np.arange(len(tokens)) if rows is None else rows
    return tokens, cu, np.array(past, np.int32), np.array(slot, np.int32), np.array(rows, np.int32)


def by_sequence(logits, chunks):
    return np.split(logits, np.cumsum([len(chunk) for chunk in chunks])[:-1])


def reserved(folder, threads=None, slots=4):
    """A model whose caches hold what another text left there."""
    model = moec.load(folder, threads)
    model.reserve(slots, 64, 4 * 64)
    other = np.random.default_rng(0).integers(0, model.vocab, (slots, 64))
    model.forward(*ragged(other, [0] * slots, range(slots), rows=[]))
    return model


@every_model
@every_family
def test_logits(family, switched, tiny_model, package):
    ids = np.random.default_rng(0).integers(0, 131, (3, 40))
    with torch.no_grad():
        expected = tiny_model(family, switched)(torch.tensor(ids)).logits.numpy()
    logits = moec.load(package(family, switched)).logits(ids)
    assert logits.shape == expected.shape
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE, rtol=TOLERANCE)


@every_family
def test_bf16(family, checkpoint, package):
    """Weights in bf16 compute what the same weights compute in f32."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint(family, True, "bfloat16"),
        dtype=torch.float32,
        attn_implementation="eager",
        experts_implementation="eager",
    )
    logits = moec.load(package(family, True, "bfloat16")).logits([PROMPTS[2]])[0]
    np.testing.assert_allclose(logits, expected_logits(model, PROMPTS[2]), atol=TOLERANCE, rtol=TOLERANCE)


@every_model
@every_family
def test_greedy_tokens(family, switched, tiny_model, package):
    model = tiny_model(family, switched)
    expected = []
    for prompt in PROMPTS:
        ids = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False, pad_token_id=0)
        expected.append(ids[0, len(prompt) :].tolist())
    assert moec.load(package(family, switched)).generate(PROMPTS, 24) == expected


@every_model
@every_family
def test_ragged_batch(family, switched, tiny_model, package):
    """Sequences of different lengths in permuted slots of caches with stale contents: whole, then token by token."""
    model, reference = reserved(package(family, switched)), tiny_model(family, switched)
    slot = [2, 0, 3, 1]
    texts = [prompt + [11, 3, 5] for prompt in PROMPTS]
    expected = [expected_logits(reference, text) for text in texts]
    parts = [PROMPTS, [[11]] * 4, [[3]] * 4, [[5]] * 4]
    past = [0] * 4
    for part in parts:
        logits = model.forward(*ragged(part, past, slot))
        for b, got in enumerate(by_sequence(logits, part)):
            want = expected[b][past[b] : past[b] + len(part[b])]
            np.testing.assert_allclose(got, want, atol=TOLERANCE, rtol=TOLERANCE)
        past = [p + len(chunk) for p, chunk in zip(past, part)]


@every_model
@every_family
def test_chunks(family, switched, package):
    """A prompt in chunks has the bits of the whole prompt, beside any other sequence."""
    model, text = reserved(package(family, switched)), list(range(40, 80))
    whole = model.forward(*ragged([text], [0], [1]))
    other = [9] * 50
    begin = 0
    for end in (1, 2, 9, 25, 26, 40):
        chunk = ragged([other[begin:end], text[begin:end]], [begin, begin], [3, 2])
        np.testing.assert_array_equal(model.forward(*chunk)[end - begin :], whole[begin:end])
        begin = end


@every_model
@every_family
def test_alone_and_in_a_batch(family, switched, package):
    model = reserved(package(family, switched))
    batched = model.forward(*ragged(PROMPTS, [0] * 4, [3, 1, 0, 2]))
    for prompt, expected in zip(PROMPTS, by_sequence(batched, PROMPTS)):
        np.testing.assert_array_equal(model.forward(*ragged([prompt], [0], [0])), expected)


@every_family
def test_threads(family, package):
    call = ragged(PROMPTS, [0] * 4, range(4))
    results = [reserved(package(family, True), threads).forward(*call) for threads in (1, 2, 3, 5)]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@every_family
def test_wanted_rows(family, package):
    """Logits of some rows, in any order and more than once, have the bits of those of all rows."""
    model = reserved(package(family))
    everything = model.forward(*ragged(PROMPTS, [0] * 4, range(4)))
    rows = [30, 0, 6, 6]
    np.testing.assert_array_equal(model.forward(*ragged(PROMPTS, [0] * 4, range(4), rows)), everything[rows])


@every_family
def test_nothing(family, package):
    """No sequence; sequences without new tokens; no rows wanted."""
    model = reserved(package(family, True))
    assert model.forward(*ragged([], [], [])).shape == (0, 131)
    assert model.forward(*ragged([[], []], [3, 0], [1, 0])).shape == (0, 131)
    assert model.forward(*ragged([[4], []], [0, 0], [1, 0], rows=[])).shape == (0, 131)


@every_family
def test_block(family, tiny_model, package):
    name = "model.layers.1." + ("block_sparse_moe" if family == "mixtral" else "mlp")
    reference = tiny_model(family).model.layers[1].mlp
    model = moec.load(package(family, block=name))
    x = torch.randn(67, reference.gate.weight.shape[1], generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = reference(x[None])[0].numpy()
    y = model.block(x.numpy())
    np.testing.assert_allclose(y, expected, atol=TOLERANCE, rtol=TOLERANCE)
    for count in (0, 1, 2, 31):
        np.testing.assert_array_equal(model.block(x[:count].numpy()), y[:count])


def test_ties_and_extremes(tiny_model, package):
    """Tokens whose logits are all equal take the first experts; a NaN stays in its own row."""
    model = moec.load(package("olmoe", block="model.layers.1.mlp"))
    x = np.random.default_rng(0).standard_normal((5, 36)).astype(np.float32)
    expected = model.block(x)
    x[1], x[3] = 0, np.nan
    y = model.block(x)
    assert not y[1].any() and np.isnan(y[3]).all()
    np.testing.assert_array_equal(y[[0, 2, 4]], expected[[0, 2, 4]])


def test_package_without_weights(tmp_path):
    """From config.json alone; it can be described, not run."""
    config = CONFIGS["qwen3_moe"] | {"dtype": "bfloat16"}
    moec.compile_checkpoint(write_config(tmp_path / "model", config), tmp_path / "package", shapes_only=True)
    manifest = read_manifest(tmp_path / "package")
    assert manifest["weights"] is None
    assert {parameter["dtype"] for parameter in manifest["parameters"]} == {"bf16"}
    with pytest.raises(moec.Error):
        moec.load(tmp_path / "package")


def test_text(checkpoint, tmp_path, capsys):
    """The command continues a text with the package's own tokenizer."""
    tokenizers = pytest.importorskip("tokenizers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())[:131]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    folder, package = tmp_path / "model", tmp_path / "package"
    shutil.copytree(checkpoint("olmoe"), folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    moec.compile_checkpoint(folder, package)
    assert read_manifest(package)["model"]["tokenizer"] == "tokenizer.json"

    model = moec.load(package)
    for arguments, options in (([], ()), (["--temperature", "2", "--top-p", "0.9", "--seed", "5"], (2.0, 0.9, 5))):
        assert main(["generate", str(package), "--prompt", "Hello", "--max-new-tokens", "30", *arguments]) == 0
        tokens = model.generate(tokenizer.encode("Hello").ids, 30, *options)
        assert capsys.readouterr().out == tokenizer.decode(tokens) + "\n"


def test_prompts_do_not_meet(package):
    """Each prompt is continued as if it were alone, drawn tokens too."""
    model = moec.load(package("qwen3_moe"))
    assert [model.generate(prompt, 9) for prompt in PROMPTS] == model.generate(PROMPTS, 9)
    drawn = model.generate(PROMPTS, 9, temperature=2.0, top_p=0.9, seed=4)
    assert drawn == model.generate(PROMPTS, 9, temperature=2.0, top_p=0.9, seed=4)
    assert drawn[0] == model.generate(PROMPTS[0], 9, temperature=2.0, top_p=0.9, seed=4)
    assert drawn != model.generate(PROMPTS, 9, temperature=2.0, top_p=0.9, seed=5)


def test_end_of_a_text(package):
    model = moec.load(package("olmoe"))
    (tokens,) = model.generate([PROMPTS[0]], 12)
    model.eos = (tokens[4],)
    assert model.generate(PROMPTS[0], 12) == tokens[: tokens.index(tokens[4]) + 1]
    model.eos = ()
    assert len(model.generate([3] * (model.max_len - 5), 100)) == 5


@pytest.mark.parametrize(
    "prompts, message",
    [
        ([[]], "prompt: expected 1 to 96 tokens"),
        ([[1] * 97], "prompt: expected 1 to 96 tokens"),
        ([[131]], "tokens\\[0\\]: expected an index from 0 below 131, got 131"),
        ([[-1]], "tokens\\[0\\]: expected an index from 0 below 131, got -1"),
    ],
)
def test_bad_prompts(package, prompts, message):
    with pytest.raises(moec.Error, match=message):
        moec.load(package("olmoe")).generate(prompts, 3)


def test_bad_calls(package):
    model = moec.load(package("olmoe"))
    good = ragged([[1, 2]], [0], [0])
    with pytest.raises(moec.Error, match="expected reserve"):
        model.forward(*good)
    model.reserve(2, 8, 8)
    for bad in (
        ragged([[1, 2]], [7], [0]),
        ragged([[1, 2]], [0], [2]),
        ragged([[1], [2]], [0, 0], [1, 1]),
        ragged([[1, 2]], [0], [0], rows=[2]),
        ragged([[1] * 9], [0], [0]),
        (good[0], np.array([0, 1]), *good[2:]),
        (good[0].astype(np.float32), *good[1:]),
        (good[0][None], *good[1:]),
    ):
        with pytest.raises(moec.Error):
            model.forward(*bad)
    assert model.forward(*good).shape == (2, 131)
    with pytest.raises(AttributeError):
        model.block(good[0])
