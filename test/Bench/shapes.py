# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The layers that are measured, and the work that the roofline counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes of one MoE layer. Every layer is a softmax router whose weights are normalised, and SwiGLU experts.

    Attributes
    ----------
    name : str
    hidden, inner, experts, top_k : int
    shared : int
        Intermediate size of the expert that takes every token; 0 for none.
    """

    name: str
    hidden: int
    inner: int
    experts: int
    top_k: int
    shared: int = 0

    @property
    def expert_size(self) -> int:
        """Weights of one expert."""
        return 3 * self.hidden * self.inner

    @property
    def shared_size(self) -> int:
        return 3 * self.hidden * self.shared

    @property
    def size(self) -> int:
        """Weights of the layer without the router's."""
        return self.experts * self.expert_size + self.shared_size

    def flops(self, tokens: int) -> int:
        """Operations of the products; a multiplication and an addition are two."""
        per_token = self.top_k * self.expert_size + self.shared_size + self.hidden * self.experts
        return 2 * tokens * per_token

    def bytes(self, active: float, bits: float) -> float:
        """Weights that a call reads when so many experts have tokens; the router's are f32."""
        return (active * self.expert_size + self.shared_size) * bits / 8 + 4 * self.hidden * self.experts


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("mixtral", 2048, 7168, 8, 2),
        Shape("olmoe", 2048, 1024, 64, 8),
        Shape("qwen3", 2048, 768, 128, 8),
        Shape("deepseek", 2048, 1408, 64, 6, shared=2816),
        Shape("gpt-oss", 2880, 2880, 32, 4),
        Shape("odd", 1000, 704, 18, 3),
    )
}
"""Mixtral with narrower experts, OLMoE, Qwen3-30B-A3B, DeepSeek-V2-Lite, the sizes of gpt-oss, and sizes that are
multiples of nothing large."""

TOKENS = (1, 4, 16, 64, 256, 1024)

ROUTINGS = ("balanced", "skewed")

BITS = {
    "f32": 32,
    "bf16": 16,
    "f16": 16,
    "int8": 8,
    "q8_0": 34 * 8 / 32,
    "q4_0": 18 * 8 / 32,
    "mxfp4": 17 * 8 / 32,
}
"""Bits of a weight with its share of a block's scales."""


@dataclass(frozen=True)
class Kind:
    """What the products multiply.

    Attributes
    ----------
    format : str
        Of the weights.
    compute : str
        Type that rows are rounded to.
    """

    format: str
    compute: str

    def __str__(self) -> str:
        return f"{self.format}*{self.compute}"


KINDS = tuple(
    Kind(*pair.split("*"))
    for pair in (
        "f32*f32 bf16*f32 bf16*bf16 f16*f32 int8*int8 int8*bf16 q8_0*int8 q4_0*int8 q4_0*bf16 mxfp4*bf16 mxfp4*int8"
    ).split()
)

ERROR = {
    # Rounding errors of f32 grow as the root of K at most: 2^-24 * sqrt(7168).
    "f32": 1e-5,
    # Peers round rows, hidden rows and slot rows to 8 bits: three times 2^-9, and again in sums.
    "bf16": 1e-2,
    "f16": 1e-5,
    # Steps of amax / 127 on both sides of both products; amax is 3 to 4 deviations: 4 / 127 / sqrt(12) each.
    "int8": 4e-2,
    "q8_0": 2e-2,
    # Steps of amax / 8 in three products: 0.17 in blocks of 32, 0.21 in groups of 128, 0.28 in whole rows.
    "q4_0": 0.3,
    # The same with the uneven steps of E2M1 and scales that are powers of 2.
    "mxfp4": 0.25,
}
"""Largest error for each format, relative to the root of the mean square of the exact result."""

MODEL_ERROR = 0.3
"""Largest difference of two models' logits: rounding may send a token to another expert, behind which all differs."""
