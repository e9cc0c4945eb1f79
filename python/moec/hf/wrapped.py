# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models of text and images, whose part for text is a decoder of another family: it alone is compiled."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from moec.hf.config import Config
from moec.hf.spec import Spec
from moec.hf.weights import Fused

_PREFIX = "language_model."
_OTHERS = r"(multi_modal_projector|vision_model|vision_tower)\..*"


@dataclass(frozen=True)
class Wrapper:
    """A larger model.

    Attributes
    ----------
    family : str
        Of its decoder, which ``text_config`` describes.
    ignored : str
        Keys of config.json that say nothing of the decoder.
    """

    family: str
    ignored: str

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
        config.ignore("vision_config", *self.ignored.split())
        return text

    def wrap(self, spec: Spec, config: Config) -> Spec:
        """The decoder with the names that its tensors have in the larger model, whose dtype is its own."""
        names = {role: _prefixed(tensor) for role, tensor in spec.names.items()}
        dtype = config.word("dtype", config.word("torch_dtype", spec.dtype))
        return dataclasses.replace(spec, names=names, block=_PREFIX + spec.block, unused=_OTHERS, dtype=dtype)


def _prefixed(tensor: str | Fused) -> str | Fused:
    if isinstance(tensor, Fused):
        return dataclasses.replace(tensor, name=_PREFIX + tensor.name)
    return _PREFIX + tensor


WRAPPERS = {
    "aria": Wrapper(
        "aria_text",
        "image_token_index max_value_projector_patch_to_query_dict projector_patch_to_query_dict vision_feature_layer",
    ),
    "llama4": Wrapper("llama4_text", "boi_token_index eoi_token_index image_token_index"),
}
"""By ``model_type``."""
