# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rotary frequencies against transformers."""

import numpy as np
import pytest

from moec import Error
from moec.hf.config import Config
from moec.hf.rope import read_rope

MAX_LEN = 2048

KINDS = ["default", "linear", "llama3", "yarn", "dynamic", "longrope", "proportional"]

SETTINGS = {
    "dynamic": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
    "default": {"rope_type": "default", "rope_theta": 1e4},
    "linear": {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0},
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 5e5,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    },
    "llama3 without blending": {
        "rope_type": "llama3",
        "rope_theta": 5e5,
        "factor": 16.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 1.0,
        "original_max_position_embeddings": 256,
    },
    "yarn": {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 512},
    "yarn untruncated": {
        "rope_type": "yarn",
        "rope_theta": 1e4,
        "factor": 40.0,
        "original_max_position_embeddings": 64,
        "beta_fast": 16,
        "beta_slow": 2,
        "mscale": 0.7,
        "mscale_all_dim": 1.3,
        "truncate": False,
    },
    "yarn with its factor": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "attention_factor": 1.25},
}


def expected(settings, head_dim):
    """Frequencies and factor of transformers."""
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeRotaryEmbedding

    config = transformers.Qwen3MoeConfig(
        head_dim=head_dim, max_position_embeddings=MAX_LEN, rope_parameters=dict(settings)
    )
    init = ROPE_INIT_FUNCTIONS.get(settings["rope_type"], Qwen3MoeRotaryEmbedding.compute_default_rope_parameters)
    frequencies, factor = init(config, "cpu")
    return frequencies.numpy(), factor


@pytest.mark.parametrize("head_dim", [14, 64, 128])
@pytest.mark.parametrize("name", SETTINGS)
def test_frequencies(name, head_dim):
    """Equal but for the last bit of a power."""
    frequencies, factor = expected(SETTINGS[name], head_dim)
    rope = read_rope(Config("config.json", {"rope_parameters": SETTINGS[name]}), head_dim, MAX_LEN, 1e4)
    np.testing.assert_allclose(np.array(rope.inv_freq, np.float32), frequencies, rtol=2.5e-7)
    assert rope.factor == pytest.approx(factor, rel=1e-15)


@pytest.mark.parametrize("name", ["linear", "llama3", "yarn"])
def test_partial(name):
    settings = SETTINGS[name] | {"partial_rotary_factor": 0.5}
    frequencies, _ = expected(settings, 48)
    rope = read_rope(Config("config.json", {"rope_parameters": settings}), 48, MAX_LEN, 1e4, partial=1.0)
    assert rope.dim == 24
    np.testing.assert_allclose(np.array(rope.inv_freq, np.float32), frequencies, rtol=2.5e-7)


def test_spellings():
    """transformers 4 and 5 write the same settings differently."""
    current = {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e4}}
    legacy = {"rope_theta": 5e4, "rope_scaling": {"type": "linear", "factor": 2.0}}
    ropes = [read_rope(Config("config.json", config), 16, MAX_LEN, 1e4) for config in (current, legacy)]
    assert ropes[0] == ropes[1]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rope_type": "axial"}, f'rope_type: expected one of {", ".join(KINDS)}, got "axial"'),
        ({"type": "su"}, f'type: expected one of {", ".join(KINDS)}, got "su"'),
        ({"rope_type": "linear", "type": "yarn"}, 'type: expected "linear", got "yarn"'),
        ({"rope_type": "linear"}, "factor: expected a value, got null"),
        ({"rope_type": "linear", "factor": "2"}, 'factor: expected a number greater than 0, got "2"'),
        ({"rope_type": "default", "factor": 2.0}, "factor: expected no such key, got 2.0"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor: expected no such key, got 0.5"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(Error) as error:
        read_rope(Config("config.json", {"rope_scaling": settings}), 16, MAX_LEN, 1e4)
    assert str(error.value) == f"config.json: rope_scaling: {message}"


def test_both_spellings_at_once():
    config = {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "default"}}
    with pytest.raises(Error, match="rope_scaling: expected no such key beside rope_parameters"):
        read_rope(Config("config.json", config), 16, MAX_LEN, 1e4)


def test_odd_head():
    with pytest.raises(Error, match="an even number of rotated channels"):
        read_rope(Config("config.json", {}), 15, MAX_LEN, 1e4)
