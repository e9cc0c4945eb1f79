# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The module around the functions: what the model is, and its parameters."""

from __future__ import annotations

from typing import Union

from moec.hf.encdec import EncoderDecoder
from moec.hf.spec import Spec
from moec.hf.weights import Fp8, Mxfp4, Parameter, Stack, View
from moec.mlir.text import Shaped

AnySpec = Union[Spec, EncoderDecoder]
"""What a whole model computes."""


def module_text(spec: AnySpec, parameters: list[Parameter], functions: list[str], is_part: bool = False) -> str:
    """The whole text.

    A model that is no part of the checkpoint's is marked `complete`: its code reads every tensor of the checkpoint.
    """
    complete = [] if is_part or spec.unused else ["complete = true"]
    head = f"module attributes {{moe.model = {{{', '.join(_model(spec) + complete)}}}}} {{"
    chains = {part.name: part for parameter in parameters for part in parameter.chain}
    lines = "\n".join(f"  {_declaration(parameter)}" for parameter in chains.values())
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
    head = f"moe.parameter @{parameter.name} : {Shaped(parameter.full_shape, parameter.dtype)}"
    if isinstance(parameter, View):
        return f"{head} view of @{parameter.source.name} by {_map(parameter)}"
    if isinstance(parameter, Mxfp4):
        return f"{head} mxfp4 of [@{parameter.blocks.name}, @{parameter.scales.name}]"
    if isinstance(parameter, Fp8):
        return f"{head} fp8 of [@{parameter.elements.name}, @{parameter.scales.name}]"
    return f'{head} from "{parameter.pattern}"{_numbers(parameter)}'


def _numbers(parameter: Stack) -> str:
    """The numbers of the leading dimensions, where they have gaps."""
    gaps = any(numbers != tuple(range(len(numbers))) for numbers in parameter.stack)
    return f" at {list(map(list, parameter.stack))}" if gaps else ""


def _map(view: View) -> str:
    """From an index of a view to one of its source; leading dimensions, of layers and experts, stay."""
    leading = ["l", "e"][: len(view.source.stack)]
    return f"affine_map<({', '.join([*leading, view.index])}) -> ({', '.join([*leading, view.order])})>"
