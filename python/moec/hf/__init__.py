# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Hugging Face checkpoints to MLIR, from config.json and the headers of the weights' files."""

from __future__ import annotations

import os
from pathlib import Path

from moec.errors import Error
from moec.hf.build.block import block as build_block
from moec.hf.build.decoder import decoder
from moec.hf.build.encdec import encoder_decoder
from moec.hf.checkpoint import with_dtypes
from moec.hf.encdec import EncoderDecoder, encoder_decoder_parameters
from moec.hf.families import read_spec
from moec.hf.parameters import parameters, with_dtype


def import_checkpoint(checkpoint: str | os.PathLike[str], block: str | None = None, shapes_only: bool = False) -> str:
    """Print a checkpoint's model as MLIR in the graph form.

    Parameters
    ----------
    checkpoint : path
        Folder as transformers writes it.
    block : str or None
        Name of a module with experts, e.g. ``model.layers.0.mlp``, to print that module alone.
    shapes_only : bool
        Read config.json alone and take its dtype for all weights.

    Raises
    ------
    Error
        If config.json or a weights' file says something that is not supported, or they do not agree.
    """
    folder = Path(checkpoint)
    spec = read_spec(folder)
    has_encoder = isinstance(spec, EncoderDecoder)
    weights = encoder_decoder_parameters(spec) if has_encoder else parameters(spec)
    weights = with_dtype(weights, spec) if shapes_only else with_dtypes(weights, folder, spec.unused)
    if has_encoder:
        if block:
            raise Error(f"{block}: expected no block of an encoder-decoder")
        return encoder_decoder(spec, weights)
    return build_block(spec, weights, block) if block else decoder(spec, weights)
