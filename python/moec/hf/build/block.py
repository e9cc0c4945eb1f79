# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The experts of one layer alone, as a function on rows."""

from __future__ import annotations

import re

from moec.errors import Error
from moec.hf.build.ffn import network
from moec.hf.build.module import module_text
from moec.hf.build.scope import Scope
from moec.hf.parameters import ffn_roles, kind_names, of_kind
from moec.hf.spec import Spec
from moec.hf.weights import Parameter
from moec.mlir.ops import size
from moec.mlir.text import Argument, Body, Shaped


def block(spec: Spec, parameters: list[Parameter], name: str) -> str:
    """The module of one block, with one public function ``block`` from [T, hidden] to [T, hidden].

    Parameters
    ----------
    parameters : list of Parameter
        What `moec.hf.parameters.parameters` says, with dtypes.
    name : str
        The block's module in the checkpoint, e.g. ``model.layers.0.mlp``.

    Raises
    ------
    Error
        If the name is not that of a block with experts.
    """
    depth = _depth(spec, name)
    layer = spec.layers[depth]
    if layer.sparse is None:
        raise Error(f"{name}: expected a block with experts, got a dense one")
    number = list(spec.kinds).index(layer)
    own = of_kind(parameters, kind_names(spec)[number])
    weights = {role: own[role].of_layer(depth) for role in ffn_roles(spec, layer.sparse)}

    dims = ("T", spec.hidden)
    body = Body([Argument("x", Shaped((None, spec.hidden)), dims)])
    x = body.arguments["x"]
    y = network(Scope(body, size(body, x, "n"), weights), x, layer.sparse, x, spec.norm)
    return module_text(
        spec, list(weights.values()), [body.function("block", [(Argument("y", y.type, dims), y)])], is_part=True
    )


def _depth(spec: Spec, name: str) -> int:
    """Number of the layer that a block stands in; ``mlp`` does for every family."""
    for path in (spec.block, "model.layers.{0}.mlp"):
        match = re.fullmatch(re.escape(path).replace(r"\{0\}", r"(\d+)"), name)
        if match and int(match[1]) < len(spec.layers):
            return int(match[1])
    last = spec.block.format(len(spec.layers) - 1)
    raise Error(f"{name}: expected a block from {spec.block.format(0)} to {last}")
