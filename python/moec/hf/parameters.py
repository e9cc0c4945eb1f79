# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The weights of a decoder: one stacked parameter for each role in each kind of layer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from moec.errors import Error
from moec.hf.spec import Attention, Layer, Sparse, Spec


@dataclass(frozen=True)
class Parameter:
    """A stack of tensors of the checkpoint.

    Attributes
    ----------
    name : str
        Its symbol.
    pattern : str
        Name of each tensor; ``{0}``, ``{1}`` stand for the numbers of the leading dimensions.
    stack : tuple of tuple of int
        For each leading dimension the numbers it runs through: layers, then experts.
    shape : tuple of int
        Shape of one tensor.
    dtype : str
        ``"f32"`` or ``"bf16"``; empty as long as nobody has looked.
    """

    name: str
    pattern: str
    stack: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    dtype: str = ""

    @property
    def full_shape(self) -> tuple[int, ...]:
        return tuple(map(len, self.stack)) + self.shape

    def tensors(self) -> Iterator[str]:
        """Names of the tensors, in row-major order of the leading dimensions."""
        return (self.pattern.format(*numbers) for numbers in itertools.product(*self.stack))

    def of_layer(self, name: str, depth: int) -> Parameter:
        """The part that belongs to one layer, under another name."""
        pattern = self.pattern.format(depth, "{0}")
        return replace(self, name=name, pattern=pattern, stack=self.stack[1:])


def parameters(spec: Spec) -> list[Parameter]:
    """All parameters of a decoder; those of a kind of layer carry the name of its function and a dot in front."""
    top = {"embed": (spec.vocab, spec.hidden), "norm": (spec.hidden,)}
    if not spec.tied:
        top["head"] = (spec.vocab, spec.hidden)
    found = [Parameter(role, spec.names[role], (), shape) for role, shape in top.items()]
    for kind, (layer, depths) in zip(kind_names(spec), spec.kinds.items()):
        for role, shape in _layer_shapes(spec.hidden, layer).items():
            found.append(Parameter(f"{kind}.{role}", spec.names[role], (depths,), shape))
        if isinstance(layer.ffn, Sparse):
            numbers = tuple(range(layer.ffn.experts))
            for role, shape in _expert_shapes(spec.hidden, layer.ffn).items():
                found.append(Parameter(f"{kind}.{role}", spec.names[role], (depths, numbers), shape))
    return found


def with_dtype(parameters: list[Parameter], spec: Spec) -> list[Parameter]:
    """Give all parameters the dtype that config.json names.

    Raises
    ------
    Error
        If it names none, or one that is not supported.
    """
    dtype = {"float32": "f32", "bfloat16": "bf16"}.get(spec.dtype or "")
    if dtype is None:
        raise Error(f"config.json: dtype: expected float32 or bfloat16 where no weights are read, got {spec.dtype}")
    return [replace(parameter, dtype=dtype) for parameter in parameters]


def kind_names(spec: Spec) -> list[str]:
    """Names of the functions, one for each kind of layer."""
    return [f"layer{number}" for number in range(len(spec.kinds))]


def of_kind(parameters: list[Parameter], kind: str) -> dict[str, Parameter]:
    """The parameters of one kind of layer, by role."""
    prefix = kind + "."
    return {p.name.removeprefix(prefix): p for p in parameters if p.name.startswith(prefix)}


def _expert_shapes(hidden: int, ffn: Sparse) -> dict[str, tuple[int, ...]]:
    """Shapes of one expert's weights, by role."""
    up, down = (ffn.intermediate, hidden), (hidden, ffn.intermediate)
    return {"gate": up, "up": up, "down": down}


def _layer_shapes(hidden: int, layer: Layer) -> dict[str, tuple[int, ...]]:
    """Shapes of one layer's weights, by role, without the experts'."""
    shapes = {"attn_norm": (hidden,)} | _attention_shapes(hidden, layer.attention) | {"ffn_norm": (hidden,)}
    if isinstance(layer.ffn, Sparse):
        return shapes | {"router": (layer.ffn.experts, hidden)}
    up, down = (layer.ffn.intermediate, hidden), (hidden, layer.ffn.intermediate)
    return shapes | {"dense_gate": up, "dense_up": up, "dense_down": down}


def _attention_shapes(hidden: int, attention: Attention) -> dict[str, tuple[int, ...]]:
    q, kv = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
    shapes: dict[str, tuple[int, ...]] = {"q": (q, hidden), "k": (kv, hidden), "v": (kv, hidden), "o": (hidden, q)}
    if attention.bias:
        shapes |= {"q_bias": (q,), "k_bias": (kv,), "v_bias": (kv,), "o_bias": (hidden,)}
    if attention.qk_norm == "projection":
        shapes |= {"q_norm": (q,), "k_norm": (kv,)}
    elif attention.qk_norm == "head":
        shapes |= {"q_norm": (attention.head_dim,), "k_norm": (attention.head_dim,)}
    return shapes
