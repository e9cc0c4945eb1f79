# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The NumPy reference: against transformers' blocks, and by its own laws."""

import numpy as np
import pytest

from moec import reference as R

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize("family", ["olmoe", "mixtral", "qwen3_moe"])
def test_block_of_transformers(family, tiny_model):
    """route and expert_ffn compute what the family's own block computes."""
    torch = pytest.importorskip("torch")
    model = tiny_model(family)
    block = model.model.layers[-1].mlp
    x = torch.randn(33, model.config.hidden_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = block(x[None])[0].numpy()
    router = block.gate.weight.detach().numpy()
    gate, up = block.experts.gate_up_proj.detach().chunk(2, dim=1)
    down = block.experts.down_proj.detach()
    norm = "sum" if family == "mixtral" or model.config.norm_topk_prob else None
    indices, weights = R.route(R.grouped_matmul(x.numpy(), router), model.config.num_experts_per_tok, norm)
    y = R.expert_ffn(x.numpy(), indices, weights, gate.numpy(), up.numpy(), down.numpy())
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_score():
    scores = R.score(np.array([[0, np.log(3)], [-1e30, -1e30], [-INF, 5]], np.float32))
    np.testing.assert_allclose(scores, [[0.25, 0.75], [0.5, 0.5], [0, 1]], rtol=1e-7)
    assert np.isnan(R.score(np.array([[1, NAN]]))).all()


def test_select():
    key = np.array([[1, 3, 3, 2], [NAN, 0, NAN, -INF], [NAN, NAN, NAN, NAN], [0.0, -0.0, 0.0, -0.0]])
    expected = [[1, 2, 3], [1, 3, 0], [0, 1, 2], [0, 1, 2]]
    np.testing.assert_array_equal(R.select(key, 3), expected)


def test_weigh():
    scores, indices = np.array([[0.5, 0.3, 0.2]]), np.array([[2, 0], [1, -1]])
    scores = np.repeat(scores, 2, axis=0)
    np.testing.assert_allclose(R.weigh(scores, indices), [[0.2, 0.5], [0.3, 0]], rtol=1e-7)
    np.testing.assert_allclose(R.weigh(scores, indices, "sum"), [[2 / 7, 5 / 7], [1, 0]], rtol=1e-7)


def test_assign():
    row, perm, offsets = R.assign(np.array([[2, 0], [0, -1], [2, 2]]), 4)
    np.testing.assert_array_equal(offsets, [0, 2, 2, 5, 5])
    np.testing.assert_array_equal(perm, [1, 2, 0, 4, 5, -1])
    np.testing.assert_array_equal(row, [[2, 0], [1, -1], [3, 4]])


@pytest.mark.parametrize("tokens", [0, 1, 17])
def test_dispatch_and_combine_are_inverse(tokens):
    random = np.random.default_rng(0)
    x = random.standard_normal((tokens, 5))
    indices = random.integers(-1, 6, (tokens, 3))
    row, perm, offsets = R.assign(indices, 6)
    back = R.combine(R.dispatch(x, perm, 3), row, np.ones((tokens, 3)))
    np.testing.assert_allclose(back, x * (indices >= 0).sum(1, keepdims=True), rtol=1e-6)
    assert offsets[-1] == (indices >= 0).sum()


def test_glu():
    gate, up = np.array([[0, 1, -1000, 1000]]), np.array([[3, 2, 5, 2]])
    np.testing.assert_allclose(R.glu(gate, up), [[0, 2 / (1 + np.exp(-1)), 0, 2000]], rtol=1e-6)


SWITCHES = [{}, {"window": 3}, {"chunk": 4}, {"softcap": 1.5}, {"sinks": np.array([0.5, -1, 3, 0])}]


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda switches: " ".join(switches) or "plain")
def test_attention(switches):
    """A ragged batch over a cache computes what transformers computes for each whole sequence."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    heads, kv, width, scale = 4, 2, 6, 0.4
    lengths, past, slot = [7, 1, 5], np.array([0, 0, 2]), np.array([2, 0, 1])
    sequences = [random.standard_normal((n, h, width)) for n in lengths for h in (heads, kv, kv)]
    k_cache, v_cache = (np.full((2, 3, kv, 8, width), NAN) for _ in range(2))
    first = np.array([0, 2])
    for cache, values in ((k_cache, sequences[7]), (v_cache, sequences[8])):
        R.cache_update(values[:2], first, [0], [1], cache, 1)
    new = [s[past[i // 3] :] for i, s in enumerate(sequences)]
    cu = np.cumsum([0, 7, 1, 3])
    q, k, v = (np.concatenate(new[i::3]) for i in range(3))
    R.cache_update(k, cu, past, slot, k_cache, 1)
    R.cache_update(v, cu, past, slot, v_cache, 1)
    result = R.attention(q, cu, past, slot, k_cache, v_cache, 1, scale, **switches)
    for b in range(3):
        q, k, v = (torch.tensor(s).transpose(0, 1)[None] for s in sequences[3 * b : 3 * b + 3])
        whole = attention_of_transformers(q, k, v, scale, **switches)[0]
        np.testing.assert_allclose(result[cu[b] : cu[b + 1]], whole[past[b] :], rtol=1e-5, atol=1e-6)


def attention_of_transformers(q, k, v, scale, window=None, chunk=None, softcap=None, sinks=None):
    """[1, heads, N, D] to [1, N, heads, D]: gpt-oss where there are sinks, and Gemma 2."""
    import torch
    from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward as gemma2
    from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward as gpt_oss

    i, j = torch.arange(q.shape[2])[:, None], torch.arange(q.shape[2])
    seen = (j <= i) & (i - j < (window or INF))
    if chunk:
        seen &= i // chunk == j // chunk
    module = torch.nn.Module()
    module.num_key_value_groups = q.shape[1] // k.shape[1]
    mask = torch.zeros(seen.shape).masked_fill(~seen, -INF)
    if sinks is None:
        return gemma2(module, q, k, v, mask, scaling=scale, softcap=softcap)[0]
    module.sinks = torch.tensor(sinks)
    return gpt_oss(module, q, k, v, mask, scaling=scale)[0]


def test_pack_f32():
    weight = np.random.default_rng(0).standard_normal((3, 70, 45)).astype(np.float32)
    packed = R.pack(weight)
    assert packed.shape == (3, 3, 45, 32)
    np.testing.assert_array_equal(packed[1, 1], weight[1, 32:64].T)
    np.testing.assert_array_equal(packed[2, 2, :, :6], weight[2, 64:].T)
    assert not packed[:, 2, :, 6:].any()


def test_pack_bf16():
    weight = np.arange(70 * 45, dtype=np.uint16).reshape(70, 45) + 1
    packed = R.pack(weight)
    assert packed.shape == (3, 2, 2, 16, 16, 2)
    for p, b, h, q, c, i in np.ndindex(packed.shape):
        row, column = 32 * p + 16 * h + c, 32 * b + 2 * q + i
        assert packed[p, b, h, q, c, i] == (weight[row, column] if row < 70 and column < 45 else 0)


def test_pack_interleaved():
    gate, up = np.random.default_rng(0).standard_normal((2, 5, 23, 9)).astype(np.float32)
    packed = R.pack(gate, up)
    assert packed.shape == (5, 2, 9, 32)
    np.testing.assert_array_equal(packed[3, 0, :, :16], gate[3, :16].T)
    np.testing.assert_array_equal(packed[3, 1, :, 16:23], up[3, 16:].T)
    assert not packed[:, 1, :, 7:16].any()
    assert not packed[:, 1, :, 23:].any()


def test_view():
    fused = np.arange(2 * 6 * 3).reshape(2, 6, 3)
    transposed = R.view(fused, (2, 3, 2), lambda e, h, i: (e, 3 * i + 1, h))
    np.testing.assert_array_equal(transposed, fused[:, 1::3].swapaxes(1, 2))
    np.testing.assert_array_equal(R.view(fused, (3,), lambda h: (0, 5, h)), fused[0, 5])


def test_mxfp4_of_transformers():
    """The expansion is what transformers' is, but for scales that leave f32."""
    torch = pytest.importorskip("torch")
    mxfp4 = pytest.importorskip("transformers.integrations.mxfp4")
    rng = np.random.default_rng(0)
    blocks, scales = rng.integers(0, 256, (3, 4, 5, 16), np.uint8), rng.integers(60, 200, (3, 4, 5), np.uint8)
    expected = mxfp4.convert_moe_packed_tensors(torch.tensor(blocks), torch.tensor(scales))
    values = R.mxfp4(blocks, scales)
    np.testing.assert_array_equal(values, expected.float().transpose(1, 2).numpy())
    assert not (values.view(np.uint32) & 0xFFFF).any(), "expected values that bf16 holds"


def test_mxfp4_at_the_ends():
    blocks = np.full((4, 16), 0x7F, np.uint8)  # codes 15 and 7: -6 and 6
    values = R.mxfp4(blocks, np.array([0, 252, 253, 255], np.uint8)).reshape(4, 32)
    assert (values[0, :2] == [-6 * 2.0**-127, 6 * 2.0**-127]).all()
    assert np.isfinite(values[1]).all()
    assert (values[2, :2] == [-INF, INF]).all()
    assert np.isnan(values[3]).all()


def test_fp8_of_torch():
    """Codes are those of torch, and blocks those of transformers."""
    torch = pytest.importorskip("torch")
    codes = np.arange(256, dtype=np.uint8).reshape(1, 256)
    expected = torch.tensor(codes).view(torch.float8_e4m3fn).float().numpy()
    np.testing.assert_array_equal(R.fp8(codes, np.ones((1, 2), np.float32)), expected)
    finegrained = pytest.importorskip("transformers.integrations.finegrained_fp8")
    rng = np.random.default_rng(0)
    elements = rng.integers(0, 127, (3, 256, 384), np.uint8)
    scales = rng.normal(0, 1, (3, 2, 3)).astype(np.float32)
    convert = finegrained.Fp8Dequantize(None)._dequantize_one
    expected = convert(torch.tensor(elements).view(torch.float8_e4m3fn), torch.tensor(scales), torch.float32)
    np.testing.assert_array_equal(R.fp8(elements, scales), expected.numpy())


def test_fp8_of_odd_extents():
    elements = np.full((130, 257), 0x38, np.uint8)  # 1
    values = R.fp8(elements, np.arange(6, dtype=np.float32).reshape(2, 3))
    assert values.shape == (130, 257)
    assert [values[0, 0], values[127, 255], values[128, 128], values[129, 256]] == [0, 1, 4, 5]


def test_imports_nothing_of_ours():
    import ast
    from pathlib import Path

    for path in Path(R.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module in ("__future__", "collections.abc", "numpy") or node.module.startswith(
                    "moec.reference"
                )
