# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where a weight's elements come from: a stack of tensors of the checkpoint, or a derivation of one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Union

Shape = tuple[int, ...]
"""Extents of a tensor of the checkpoint."""


@dataclass(frozen=True)
class Stack:
    """Tensors of one type, stacked.

    Attributes
    ----------
    name : str
        Its symbol: for a weight of a layer the layer's function, a dot, and the role.
    pattern : str
        Name of each tensor; ``{0}``, ``{1}`` stand for the numbers of the leading dimensions.
    stack : tuple of tuple of int
        For each leading dimension the numbers it runs through: layers, then experts.
    shape : Shape
        Of one tensor.
    dtype : str
        ``"f32"``, ``"bf16"``, ``"f16"``, ``"f8E4M3FN"`` or ``"i8"``; empty as long as nobody has looked.
    """

    name: str
    pattern: str
    stack: tuple[tuple[int, ...], ...]
    shape: Shape
    dtype: str = ""

    @property
    def full_shape(self) -> Shape:
        return tuple(map(len, self.stack)) + self.shape

    @property
    def stacks(self) -> list[Stack]:
        """What is read from the checkpoint."""
        return [self]

    @property
    def chain(self) -> list[Parameter]:
        """What it is derived from, in order, and itself."""
        return [self]

    def tensors(self) -> Iterator[str]:
        """Names of the tensors, in row-major order of the leading dimensions."""
        return (self.pattern.format(*numbers) for numbers in itertools.product(*self.stack))

    def of_layer(self, depth: int) -> Stack:
        """The part that belongs to one layer, without the name of the layer's function."""
        _, _, role = self.name.partition(".")
        return replace(self, name=role, pattern=self.pattern.format(depth, "{0}"), stack=self.stack[1:])

    def map_stacks(self, function: Callable[[Stack], Parameter]) -> Parameter:
        """The same with something else for each stack."""
        return function(self)


@dataclass(frozen=True)
class Mxfp4:
    """4-bit floats with a scale for every 32, expanded to bf16.

    Attributes
    ----------
    blocks, scales : Stack
        [..., G, 16] and [..., G], both i8.
    """

    name: str
    blocks: Stack
    scales: Stack
    dtype = "bf16"

    @property
    def full_shape(self) -> Shape:
        *leading, groups = self.scales.full_shape
        return (*leading, 32 * groups)

    @property
    def stack(self) -> tuple[tuple[int, ...], ...]:
        return self.scales.stack

    @property
    def stacks(self) -> list[Stack]:
        return [self.blocks, self.scales]

    @property
    def chain(self) -> list[Parameter]:
        return [self.blocks, self.scales, self]

    def of_layer(self, depth: int) -> Mxfp4:
        _, _, role = self.name.partition(".")
        return Mxfp4(role, self.blocks.of_layer(depth), self.scales.of_layer(depth))

    def map_stacks(self, function: Callable[[Stack], Stack]) -> Mxfp4:
        return Mxfp4(self.name, function(self.blocks), function(self.scales))


@dataclass(frozen=True)
class Fp8:
    """8-bit floats with a scale for every 128 by 128, expanded to bf16.

    Attributes
    ----------
    elements, scales : Stack
        [..., out, in] of f8E4M3FN and [..., ceil(out / 128), ceil(in / 128)] of f32.
    """

    name: str
    elements: Stack
    scales: Stack
    dtype = "bf16"

    @classmethod
    def of(cls, stack: Stack) -> Fp8:
        """What has its elements in the tensors of a stack; those of its scales are named after them."""
        *leading, out, columns = stack.shape
        blocks = (*leading, -(-out // 128), -(-columns // 128))
        elements = replace(stack, name=f"{stack.name}_fp8", dtype="f8E4M3FN")
        scales = Stack(f"{stack.name}_scales", f"{stack.pattern}_scale_inv", stack.stack, blocks, "f32")
        return cls(stack.name, elements, scales)

    @property
    def full_shape(self) -> Shape:
        return self.elements.full_shape

    @property
    def stack(self) -> tuple[tuple[int, ...], ...]:
        return self.elements.stack

    @property
    def stacks(self) -> list[Stack]:
        return [self.elements, self.scales]

    @property
    def chain(self) -> list[Parameter]:
        return [self.elements, self.scales, self]

    def of_layer(self, depth: int) -> Fp8:
        _, _, role = self.name.partition(".")
        return Fp8(role, self.elements.of_layer(depth), self.scales.of_layer(depth))

    def map_stacks(self, function: Callable[[Stack], Stack]) -> Fp8:
        return Fp8(self.name, function(self.elements), function(self.scales))


@dataclass(frozen=True)
class View:
    """Elements of another parameter, in another order.

    Attributes
    ----------
    shape : Shape
        Without the source's leading dimensions, which stay.
    index, order : str
        Names of the dimensions of `shape`, and what they are in the source, as in `Fused`.
    """

    name: str
    source: Union[Stack, Mxfp4, Fp8]
    shape: Shape
    index: str
    order: str

    @property
    def dtype(self) -> str:
        return self.source.dtype

    @property
    def full_shape(self) -> Shape:
        return tuple(map(len, self.source.stack)) + self.shape

    @property
    def stacks(self) -> list[Stack]:
        return self.source.stacks

    @property
    def chain(self) -> list[Parameter]:
        return [*self.source.chain, self]

    def of_layer(self, depth: int) -> View:
        _, _, role = self.name.partition(".")
        return replace(self, name=role, source=self.source.of_layer(depth))

    def map_stacks(self, function: Callable[[Stack], Stack]) -> View:
        return replace(self, source=self.source.map_stacks(function))


Parameter = Union[Stack, View, Mxfp4, Fp8]


@dataclass(frozen=True)
class Fused:
    """Where a weight's elements are if not in a tensor of their own.

    Attributes
    ----------
    name : str
        Of the tensor; ``{0}`` stands for the layer.
    shape : Shape
        Of the tensor, in elements.
    order : str
        The tensor's index for the element of expert ``e``, output ``o`` and input ``i``, as in an affine map of MLIR:
        ``"e, i, 2 * o"``. Empty where the tensor holds the weight as it is.
    mxfp4 : bool
        Whether elements are 4-bit floats, in two tensors ``<name>_blocks`` and ``<name>_scales``.
    """

    name: str
    shape: Shape
    order: str = ""
    mxfp4: bool = False


def make_parameter(name: str, tensor: str | Fused, stack: tuple[tuple[int, ...], ...], shape: Shape) -> Parameter:
    """The weight of a role.

    Parameters
    ----------
    tensor : str or Fused
        A tensor without ``{1}`` holds the matrices of all experts.
    stack : tuple of tuple of int
        Numbers of the layers and the experts, where the role has them.
    shape : Shape
        Of the weight of one expert, or of one layer without experts.
    """
    pattern = tensor if isinstance(tensor, str) else tensor.name
    index = ["o", "i"][: len(shape)]
    if "{1}" not in pattern and len(stack) == 2:
        stack, shape, index = stack[:1], (len(stack[1]), *shape), ["e", *index]
    if isinstance(tensor, str):
        return Stack(name, pattern, stack, shape)
    own = name[: name.rfind(".") + 1] + pattern.rpartition("{0}.")[2]
    whole = own if tensor.order else name
    source: Union[Stack, Mxfp4] = Stack(whole, pattern, stack, tensor.shape)
    if tensor.mxfp4:
        *leading, elements = tensor.shape
        blocks, scales = (
            Stack(f"{own}_{part}", f"{pattern}_{part}", stack, (*leading, elements // 32, *extra), "i8")
            for part, extra in (("blocks", (16,)), ("scales", ()))
        )
        source = Mxfp4(whole, blocks, scales)
    return View(name, source, shape, ", ".join(index), tensor.order) if tensor.order else source
