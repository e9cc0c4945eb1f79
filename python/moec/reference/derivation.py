# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights that are derived from a checkpoint's: other orders of their elements, and small floats expanded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_CODES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)


def view(source: np.ndarray, shape: Sequence[int], map: Callable[..., tuple]) -> np.ndarray:
    """The array of a shape whose element [i...] is element map(i...) of a source.

    Parameters
    ----------
    map : function of one index per dimension of the result
        Gives a tuple of indices, one per dimension of the source. It is called once, with arrays.
    """
    return source[tuple(np.broadcast_to(index, shape) for index in map(*np.indices(shape)))]


def fp8(elements: np.ndarray, scales: np.ndarray, block: int = 128) -> np.ndarray:
    """Expand 8-bit floats that share a scale in square blocks.

    Source: FP8 Formats for Deep Learning (arXiv:2209.05433), table 1, for E4M3; DeepSeek-V3 (arXiv:2412.19437), section
    3.3.2, for blocks.

    Parameters
    ----------
    elements : array [..., out, in] of u8
        Bit 7 is the sign, the next 4 the exponent plus 7; 0x7f and 0xff are NaN.
    scales : array [..., ceil(out / block), ceil(in / block)] of f32

    Returns
    -------
    array [..., out, in] of f32
        Products, rounded once.
    """
    sign, exponent, fraction = elements >> 7, (elements >> 3 & 15).astype(np.int32), elements & 7
    magnitude = np.where(exponent > 0, 2.0 ** (exponent - 7) * (1 + fraction / 8), 2.0**-6 * (fraction / 8))
    values = np.where(elements & 0x7F == 0x7F, np.nan, np.where(sign, -magnitude, magnitude)).astype(np.float32)
    out, columns = elements.shape[-2:]
    rows = np.repeat(np.repeat(scales, block, axis=-2), block, axis=-1)[..., :out, :columns]
    return values * rows


def mxfp4(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Expand 4-bit floats that share a scale in groups of 32.

    Source: OCP Microscaling Formats (MX) Specification 1.0, sections 5.1 (scales, E8M0) to 5.3 (elements, E2M1).

    Parameters
    ----------
    blocks : array [..., G, 16] of u8
        Two elements a byte, the first in the low half: bit 3 is the sign, the others stand for 0 to 6.
    scales : array [..., G] of u8
        The power of two that a group is multiplied by, plus 127; 255 is NaN.

    Returns
    -------
    array [..., 32 G] of f32
        Values that bf16 holds exactly; infinite where f32 is too small.
    """
    codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*blocks.shape[:-1], 32)
    values = np.where(codes < 8, _CODES[codes % 8], -_CODES[codes % 8])
    exponents = scales.astype(np.int32)[..., None] - 127
    with np.errstate(over="ignore"):
        scaled = np.where(exponents == 128, np.float32(np.nan), np.ldexp(values, exponents))
    return scaled.reshape(*scales.shape[:-1], -1)
