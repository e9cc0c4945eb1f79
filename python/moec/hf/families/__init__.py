# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One page for each family of models: which keys of config.json it reads, what they switch, and its tensors' names.

A page is a module named after the family's ``model_type``, hyphens as underscores, with a function ``spec`` from its
config.json to what the model computes. Defaults are those of the family's configuration class in transformers 5.18.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from pathlib import Path

from moec.hf.config import Config
from moec.hf.generation import read_ends
from moec.hf.refused import REFUSED
from moec.hf.spec import Spec
from moec.hf.wrapped import WRAPPERS

FAMILIES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
"""Values of ``model_type`` that have a page, hyphens as underscores."""

ALIASES = {"kimi_k2": "deepseek_v3"}
"""The families of models that were published under another ``model_type``."""

ACCEPTED = tuple(sorted([*FAMILIES, *ALIASES, *WRAPPERS]))
"""All these, and the larger models that have a decoder of such a family."""

# Training, bookkeeping, and outputs that only a framework has.
_IGNORED = (
    "architectures auto_map chunk_size_feed_forward id2label initializer_range is_encoder_decoder label2id model_type "
    "output_attentions output_hidden_states output_router_logits pad_token_id problem_type return_dict "
    "router_aux_loss_coef transformers_version use_cache _attn_implementation_autoset _name_or_path"
).split()


def read_spec(folder: Path) -> Spec:
    """What the checkpoint in a folder computes, from its config.json and generation_config.json.

    Raises
    ------
    Error
        If a key or a value is not supported.
    """
    config = Config.load(folder / "config.json")
    family = config.word("model_type")
    if family in REFUSED:
        config.refuse("model_type", f"a family without {REFUSED[family]}")
    wrapper = WRAPPERS.get(family)
    page = wrapper.family if wrapper else ALIASES.get(family, family.replace("-", "_"))
    if page not in FAMILIES:
        config.refuse("model_type", "one of " + ", ".join(ACCEPTED))
    text = wrapper.text_config(config) if wrapper else config
    spec = importlib.import_module(f"{__name__}.{page}").spec(text)
    if wrapper:
        spec = wrapper.wrap(spec, config)
    bos, eos = read_ends(folder, text)
    for part in (text, config):
        part.ignore(*_IGNORED)
        part.finish()
    return dataclasses.replace(spec, bos=bos, eos=eos, tokenizer=(folder / "tokenizer.json").exists())
