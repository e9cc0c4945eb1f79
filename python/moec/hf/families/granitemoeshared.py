# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Granite 4 with experts and a network beside them."""

from moec.hf.config import Config
from moec.hf.families import granitemoe
from moec.hf.names import LAYER, halves
from moec.hf.spec import Dense, Shared, Spec


def spec(config: Config) -> Spec:
    width = config.integer("shared_intermediate_size", 0, minimum=0)
    if not width:
        return granitemoe.spec(config)
    names = halves(LAYER + "shared_mlp.input_linear.weight", width, config.integer("hidden_size"), prefix="shared_")
    names |= {"shared_down": LAYER + "shared_mlp.output_linear.weight"}
    return granitemoe.spec(config, Shared(Dense(width)), names)
