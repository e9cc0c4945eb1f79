# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models of text and images, whose part for text is a decoder of another family: it alone is compiled."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from moec.hf.config import Config
from moec.hf.spec import Spec
from moec.hf.weights import Fused


@dataclass(frozen=True)
class Wrapper:
    """Where the decoder is in a larger model.

    Attributes
    ----------
    family : str
        Of the decoder, which ``text_config`` describes.
    prefix : str
        Of the names of its tensors.
    others : str
        Pattern of the other tensors.
    ignored : tuple of str
        Keys of config.json that say nothing of it.
    """

    family: str
    prefix: str
    others: str
    ignored: tuple[str, ...]

    def text_config(self, config: Config) -> Config:
        """The decoder's keys.

        Raises
        ------
        Error
            If there are none, or they are another family's.
        """
        text = config.table("text_config")
        if text is None:
            config.refuse("text_config", "an object")
        text.only("model_type", self.family)
        config.only("tie_word_embeddings", False)
        config.ignore(*self.ignored)
        return text

    def wrap(self, spec: Spec, config: Config) -> Spec:
        """The decoder with the names that its tensors have in the larger model, whose dtype is its own."""
        names = {role: self._prefixed(tensor) for role, tensor in spec.names.items()}
        dtype = config.word("dtype", config.word("torch_dtype", spec.dtype))
        return dataclasses.replace(spec, names=names, block=self.prefix + spec.block, unused=self.others, dtype=dtype)

    def _prefixed(self, tensor: str | Fused) -> str | Fused:
        if isinstance(tensor, Fused):
            return dataclasses.replace(tensor, name=self.prefix + tensor.name)
        return self.prefix + tensor


WRAPPERS = {
    "llama4": Wrapper(
        "llama4_text",
        "language_model.",
        r"(multi_modal_projector|vision_model)\..*",
        ("boi_token_index", "eoi_token_index", "image_token_index", "vision_config"),
    )
}
"""By ``model_type``."""
