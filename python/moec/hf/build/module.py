# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The module around the functions: what the model is, and its parameters."""

from __future__ import annotations

from typing import Union

from moec.hf.encdec import EncoderDecoder
from moec.hf.parameters import Parameter
from moec.hf.spec import Spec
from moec.mlir.text import Shaped

AnySpec = Union[Spec, EncoderDecoder]
"""What a whole model computes."""


def module_text(spec: AnySpec, parameters: list[Parameter], functions: list[str]) -> str:
    """The whole text."""
    head = f"module attributes {{moe.model = {{{', '.join(_model(spec))}}}}} {{"
    lines = "\n".join(map(_declaration, parameters))
    return "\n".join([head, lines, "", "\n\n".join(functions), "}", ""])


def _model(spec: AnySpec) -> list[str]:
    """What a caller must know of the model; ids that it does not have are left out."""
    sizes = {"vocab": spec.vocab, "max_len": spec.max_len} | spec.sizes
    if spec.bos is not None:
        sizes["bos"] = spec.bos
    numbers = [f"{name} = {number} : i64" for name, number in sizes.items()]
    tokenizer = ['tokenizer = "tokenizer.json"'] if spec.tokenizer else []
    return [f'architecture = "{spec.architecture}"', *numbers, f"eos = {list(spec.eos)}", *tokenizer]


def _declaration(parameter: Parameter) -> str:
    type = Shaped(parameter.full_shape, parameter.dtype)
    gaps = any(numbers != tuple(range(len(numbers))) for numbers in parameter.stack)
    at = f" at {list(map(list, parameter.stack))}" if gaps else ""
    return f'  moe.parameter @{parameter.name} : {type} from "{parameter.pattern}"{at}'
