# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models of text and images, whose part for text is a decoder of another family: it alone is compiled."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from moec.hf.config import Config
from moec.hf.spec import Spec
from moec.hf.weights import Fused

_PREFIX = "language_model."
_OTHERS = r"(model\.)?(audio_tower|embed_audio|embed_vision|multi_modal_projector|vision_model|vision_tower)\..*"


@dataclass(frozen=True)
class Wrapper:
    """A larger model.

    Attributes
    ----------
    family : str
        Of its decoder, which ``text_config`` describes.
    ignored : str
        Keys of config.json that say nothing of the decoder.
    inside : bool
        Whether the decoder's layers stand within the larger model's own, which has the output projection, tied.
    """

    family: str
    ignored: str
    inside: bool = False

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
        config.only("tie_word_embeddings", self.inside)
        config.ignore("vision_config", *self.ignored.split())
        return text

    def wrap(self, spec: Spec, config: Config) -> Spec:
        """The decoder with the names that its tensors have in the larger model, whose dtype is its own."""
        names = {role: self._outer(tensor) for role, tensor in spec.names.items()}
        dtype = config.word("dtype", config.word("torch_dtype", spec.dtype))
        return dataclasses.replace(spec, names=names, block=self._outer(spec.block), unused=_OTHERS, dtype=dtype)

    def _outer(self, tensor: str | Fused) -> str | Fused:
        if isinstance(tensor, Fused):
            return dataclasses.replace(tensor, name=self._outer(tensor.name))
        return tensor.replace("model.", "model.language_model.", 1) if self.inside else _PREFIX + tensor


WRAPPERS = {
    "aria": Wrapper(
        "aria_text",
        "image_token_index max_value_projector_patch_to_query_dict projector_patch_to_query_dict vision_feature_layer",
    ),
    "gemma4": Wrapper(
        "gemma4_text",
        "audio_config audio_token_id boa_token_id boi_token_id eoa_token_index eoi_token_id image_token_id "
        "video_token_id",
        inside=True,
    ),
    "llama4": Wrapper("llama4_text", "boi_token_index eoi_token_index image_token_index"),
}
"""By ``model_type``."""
