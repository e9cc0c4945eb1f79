# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tiny random models of transformers, written once in a session."""

import functools

import pytest
from tiny import ALL


@pytest.fixture(scope="session")
def tiny_model():
    """A random model of a family in f32; the same each time it is asked for."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)

    @functools.lru_cache(maxsize=None)
    def build(family, switched=False):
        plain, changes = ALL[family]
        config = plain | (changes if switched else {})
        config = transformers.AutoConfig.for_model(**config)
        torch.manual_seed(0)
        # Mistral 4 has a class, but is not among those that are found by their configuration.
        known = isinstance(config, tuple(transformers.AutoModelForCausalLM._model_mapping))
        new = transformers.AutoModelForCausalLM.from_config if known else transformers.Mistral4ForCausalLM._from_config
        model = new(config, attn_implementation="eager", experts_implementation="eager").eval()
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                tensor.normal_(1 if "norm" in name and name.endswith("weight") else 0, 0.2)
        return model

    return build


@pytest.fixture(scope="session")
def checkpoint(tiny_model, tmp_path_factory):
    """Folder of a model's checkpoint; its weights rounded to a dtype."""

    @functools.lru_cache(maxsize=None)
    def write(family, switched=False, dtype="float32"):
        import copy

        import torch

        folder = tmp_path_factory.mktemp(family)
        copy.deepcopy(tiny_model(family, switched)).to(getattr(torch, dtype)).save_pretrained(folder)
        return folder

    return write
