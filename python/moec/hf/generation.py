# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""generation_config.json: where a text begins and ends, and settings that would change a greedy text."""

from __future__ import annotations

from pathlib import Path

from moec.hf.config import Config

# Sampling, beams, bookkeeping: none of them changes a greedy text.
_IGNORED = (
    "cache_implementation do_sample eta_cutoff epsilon_cutoff max_length max_new_tokens min_p output_attentions "
    "output_hidden_states output_scores pad_token_id return_dict_in_generate temperature top_h top_k top_p "
    "transformers_version trust_remote_code typical_p use_cache _from_model_config"
).split()

_NEUTRAL = {
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1,
    "guidance_scale": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1,
}


def read_ends(folder: Path, config: Config) -> tuple[int | None, tuple[int, ...]]:
    """Ids that begin and end a text: of generation_config.json where it names them, else of config.json.

    Parameters
    ----------
    folder : Path
        A checkpoint; it need not have a generation_config.json.
    config : Config
        Its config.json.

    Returns
    -------
    bos : int or None
    eos : tuple of int

    Raises
    ------
    Error
        If a setting would change a greedy text, or is not known.
    """
    bos, eos = _first(config, None), config.integers("eos_token_id")
    path = folder / "generation_config.json"
    if path.exists():
        settings = Config.load(path)
        bos = _first(settings, bos)
        eos = settings.integers("eos_token_id") or eos
        for key, value in _NEUTRAL.items():
            settings.only(key, value)
        settings.ignore(*_IGNORED)
        settings.finish()
    return bos, eos


def _first(config: Config, default: int | None) -> int | None:
    """The id that begins a text: for a decoder that follows an encoder, where that is named, another one."""
    bos = config.integer("bos_token_id", default, minimum=0)
    return config.integer("decoder_start_token_id", bos, minimum=0)
