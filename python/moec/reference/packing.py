# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The packed layout of weights: panels of 32 columns of the product, i.e. of 32 rows of the matrix [out, in]."""

from __future__ import annotations

import numpy as np

_WIDTH = 32


def pack(*sources: np.ndarray) -> np.ndarray:
    """Pack a matrix, or two that are read side by side.

    Parameters
    ----------
    *sources : one or two arrays [..., out, in]
        f32, or the bits of bf16 as u16. Leading dimensions stay. Of two sources, half of each panel is of the first and
        half of the second.

    Returns
    -------
    array [..., panels, in, 32] for f32, [..., panels, ceil(in / 32), 2, 16, 16, 2] for bf16
        f32: [p, i, c] is W[32 p + c, i]. bf16: [p, b, h, q, c, i] is W[32 p + 16 h + c, 32 b + 2 q + i]. What lies
        outside of the matrix is 0.
    """
    panels = np.concatenate([_panels(source, _WIDTH // len(sources)) for source in sources], axis=-2)
    if panels.dtype == np.float32:
        return np.ascontiguousarray(np.swapaxes(panels, -1, -2))
    blocks = _padded(panels, axis=-1, multiple=32)
    *leading, _, columns = blocks.shape
    blocks = blocks.reshape(*leading, 2, 16, columns // 32, 16, 2)
    return np.ascontiguousarray(np.einsum("...hcbqi->...bhqci", blocks))


def _panels(matrix: np.ndarray, width: int) -> np.ndarray:
    """[..., out, in] as [..., panels, width, in]."""
    matrix = _padded(matrix, axis=-2, multiple=width)
    *leading, rows, columns = matrix.shape
    return matrix.reshape(*leading, rows // width, width, columns)


def _padded(matrix: np.ndarray, axis: int, multiple: int) -> np.ndarray:
    """Zeros at the end of an axis, up to a multiple."""
    widths = [(0, 0)] * matrix.ndim
    widths[axis] = (0, -matrix.shape[axis] % multiple)
    return np.pad(matrix, widths)
