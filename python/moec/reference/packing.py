# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The packed layouts of weights: panels of 32 columns of the product, i.e. of 32 rows of the matrix [out, in]."""

from __future__ import annotations

import math

import numpy as np

_WIDTH = 32
_GROUP = 32
_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def pack(*sources: np.ndarray, format: str | None = None) -> np.ndarray:
    """Pack a matrix, or two that are read side by side.

    Parameters
    ----------
    *sources : one or two arrays [..., out, in]
        f32, f16, or the bits of bf16 as u16; f32 where a format is named. Leading dimensions stay. Of two sources, half
        of each panel is of the first and half of the second.
    format : str or None
        ``"f32"``, ``"bf16"``, ``"f16"``, ``"int8"``, ``"q8_0"``, ``"q4_0"`` or ``"mxfp4"``; None leaves elements
        as they are.

    Returns
    -------
    array [..., panels, in, 32] for f32 and f16, [..., panels, ceil(in / 32), 2, 16, 16, 2] for bf16, else of u8
        f32 and f16: [p, i, c] is W[32 p + c, i]. bf16: [p, b, h, q, c, i] is W[32 p + 16 h + c, 32 b + 2 q + i]. u8:
        [..., panels, bytes], as `moe.parameter` describes them. What lies outside of the matrix is 0.
    """
    panels = np.concatenate([_panels(source, _WIDTH // len(sources)) for source in sources], axis=-2)
    if format in _QUANTIZERS:
        return _QUANTIZERS[format](panels)
    if format == "f16":
        panels = panels.astype(np.float16)
    elif format == "bf16":
        panels = _bf16_bits(panels)
    if panels.dtype in (np.float32, np.float16):
        return np.ascontiguousarray(np.swapaxes(panels, -1, -2))
    return _halves(panels, block=32, unit=2)


def unpack(packed: np.ndarray, format: str, out: int, columns: int, sources: int = 1) -> list[np.ndarray]:
    """What a product with packed weights multiplies with.

    Parameters
    ----------
    packed : array, as `pack` returns it
    format : str
        As in `pack`.
    out, columns : int
        Extents of each source.
    sources : int
        1, or 2 that were packed side by side.

    Returns
    -------
    list of arrays [..., out, columns] of f32, one for each source
    """
    width = _WIDTH // sources
    row, k = np.arange(out)[:, None], np.arange(columns)[None, :]
    return [_READERS[format](packed, row // width, row % width + width * source, k) for source in range(sources)]


def round_rows(rows: np.ndarray, compute: str, format: str = "int8") -> np.ndarray:
    """What products with `compute` make of rows before they are multiplied.

    Parameters
    ----------
    rows : array [N, in] f32
        Finite.
    compute : str
        ``"f32"``, ``"bf16"`` or ``"int8"``.
    format : str
        That of the weights, as in `pack`: integers have one scale for a row with ``"int8"``, one for 32 elements with
        others.

    Returns
    -------
    array [N, in] f32, or f64 for ``"int8"``, where f32 may not hold an integer times its scale
    """
    if compute == "f32":
        return rows
    if compute == "bf16":
        return (_bf16_bits(rows).astype(np.uint32) << 16).view(np.float32)
    width = rows.shape[-1]
    groups = rows[..., None, :] if format == "int8" else _groups(rows)
    largest = np.abs(groups).max(axis=-1, keepdims=True)
    inverse = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest >= 2.0**-120)
    rounded = np.rint(groups * inverse).astype(np.float64) * (largest / np.float32(127))
    return rounded.reshape(*rows.shape[:-1], math.prod(rounded.shape[-2:]))[..., :width]


def _panels(matrix: np.ndarray, width: int) -> np.ndarray:
    """[..., out, in] as [..., panels, width, in]."""
    matrix = _padded(matrix, axis=-2, multiple=width)
    *leading, rows, columns = matrix.shape
    return matrix.reshape(*leading, rows // width, width, columns)


def _padded(matrix: np.ndarray, axis: int, multiple: int, value: float = 0) -> np.ndarray:
    """The value at the end of an axis, up to a multiple."""
    widths = [(0, 0)] * matrix.ndim
    widths[axis] = (0, -matrix.shape[axis] % multiple)
    return np.pad(matrix, widths, constant_values=value)


def _halves(panels: np.ndarray, block: int, unit: int) -> np.ndarray:
    """[..., 32, in] as [..., blocks, 2, block / unit, 16, unit]: the columns of each half are next to one another."""
    blocks = _padded(panels, axis=-1, multiple=block)
    *leading, _, columns = blocks.shape
    blocks = blocks.reshape(*leading, 2, 16, columns // block, block // unit, unit)
    return np.ascontiguousarray(np.einsum("...hcbqi->...bhqci", blocks))


def _bf16_bits(values: np.ndarray) -> np.ndarray:
    """The bits of the nearest bf16, of two the even one."""
    bits = values.view(np.uint32).astype(np.uint64)
    low = bits & 0xFFFF
    up = (low > 0x8000) | ((low == 0x8000) & (bits >> 16 & 1 == 1))
    return ((bits >> 16) + up).astype(np.uint16)


def _bytes(array: np.ndarray, axes: int) -> np.ndarray:
    """The last axes as one of bytes."""
    array = np.ascontiguousarray(array)
    return array.reshape(*array.shape[:-axes], math.prod(array.shape[-axes:])).view(np.uint8)


def _groups(panels: np.ndarray, multiple: int = _GROUP) -> np.ndarray:
    """[..., 32, in] as [..., 32, groups, 32]."""
    padded = _padded(panels, axis=-1, multiple=multiple)
    return padded.reshape(*padded.shape[:-1], padded.shape[-1] // _GROUP, _GROUP)


def _inverse(scale: np.ndarray) -> np.ndarray:
    """1 / scale in f32, 0 where it is not finite."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scale
    return np.where(np.isfinite(inverse), inverse, np.float32(0))


def _int8(panels: np.ndarray) -> np.ndarray:
    scale = np.abs(panels).max(axis=-1, keepdims=True, initial=0) / np.float32(127)
    quotient = np.divide(panels, scale, out=np.zeros_like(panels), where=scale > 0)
    q = np.clip(np.rint(quotient), -127, 127)
    elements = _halves(_padded(q, axis=-1, multiple=64).astype(np.int16) + 128, block=64, unit=4).astype(np.uint8)
    return np.concatenate([_bytes(elements, axes=5), _bytes(scale, axes=2)], axis=-1)


def _q8_0(panels: np.ndarray) -> np.ndarray:
    """Source: quantize_row_q8_0_ref in ggml-quants.c of ggml."""
    groups = _groups(panels)
    scale = np.abs(groups).max(axis=-1, keepdims=True) / np.float32(127)
    scaled = (groups * _inverse(scale)).astype(np.float64)
    q = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled)
    codes = (q + 128).astype(np.uint8).reshape(*groups.shape[:-1], 8, 4)
    return _interleaved(codes, scale[..., 0].astype(np.float16))


def _q4_0(panels: np.ndarray) -> np.ndarray:
    """Source: quantize_row_q4_0_ref in ggml-quants.c of ggml."""
    groups = _groups(panels)
    extreme = np.take_along_axis(groups, np.abs(groups).argmax(axis=-1)[..., None], axis=-1)
    scale = extreme / np.float32(-8)
    codes = np.minimum(np.floor(groups * _inverse(scale) + np.float32(8.5)), 15).astype(np.uint8)
    return _interleaved(_nibbles(codes), scale[..., 0].astype(np.float16))


def _mxfp4(panels: np.ndarray) -> np.ndarray:
    """Source: OCP Microscaling Formats (MX) Specification 1.0, section 6.3."""
    groups = _groups(panels, multiple=64)
    _, exponent = np.frexp(np.abs(groups).max(axis=-1).astype(np.float64))  # a = m * 2^exponent, 0.5 <= m < 1
    zero = groups.any(axis=-1) == 0
    byte = np.where(zero, 0, np.maximum(exponent - 1 - 2 + 127, 0))
    scaled = np.abs(groups.astype(np.float64)) / 2.0 ** (byte - 127)[..., None]
    # The nearest, looked for among the even codes first.
    order = np.array([0, 2, 4, 6, 1, 3, 5, 7])
    codes = order[np.abs(scaled[..., None] - _E2M1[order]).argmin(axis=-1)] + 8 * np.signbit(groups)
    return _interleaved(_nibbles(codes.astype(np.uint8)), byte.astype(np.uint8), groups=2)


def _nibbles(codes: np.ndarray) -> np.ndarray:
    """[..., 32] of 4 bits as [..., 4, 4] bytes: each holds two that are 4 apart."""
    pairs = codes.reshape(*codes.shape[:-1], 4, 2, 4)
    return pairs[..., 0, :] | pairs[..., 1, :] << 4


def _interleaved(codes: np.ndarray, scales: np.ndarray, groups: int = 1) -> np.ndarray:
    """Codes [..., 32, G, r, 4] and scales [..., 32, G] as bytes: steps of so many groups of all columns, before their
    scales."""
    steps = codes.shape[-3] // groups
    codes = codes.reshape(*codes.shape[:-3], steps, groups * codes.shape[-2], 4)
    scales = scales.reshape(*scales.shape[:-1], steps, groups)
    codes, scales = np.einsum("...cbrj->...brcj", codes), np.einsum("...cbg->...bgc", scales)
    return _bytes(np.concatenate([_bytes(codes, axes=3), _bytes(scales, axes=2)], axis=-1), axes=2)


_QUANTIZERS = {"int8": _int8, "q8_0": _q8_0, "q4_0": _q4_0, "mxfp4": _mxfp4}


# Readers of the element of column c and input k of panel p; each of these is an array of indices.


def _read_f32(packed, p, c, k):
    return packed[..., p, k, c].astype(np.float32)


def _read_bf16(packed, p, c, k):
    bits = packed[..., p, k // 32, c // 16, k % 32 // 2, c % 16, k % 2]
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _read_int8(packed, p, c, k):
    scales = packed.shape[-1] - 4 * _WIDTH
    q = packed[..., p, k // 64 * 2048 + c // 16 * 1024 + k % 64 // 4 * 64 + c % 16 * 4 + k % 4]
    return _signed(q, 128) * _scalar(packed, np.float32, p, scales + 4 * c)


def _read_q8_0(packed, p, c, k):
    step = k // 32 * 1088
    q = packed[..., p, step + k % 32 // 4 * 128 + c * 4 + k % 4]
    return _signed(q, 128) * _scalar(packed, np.float16, p, step + 1024 + 2 * c)


def _read_q4_0(packed, p, c, k):
    step = k // 32 * 576
    q = _nibble(packed[..., p, step + k % 32 // 8 * 128 + c * 4 + k % 4], k)
    return _signed(q, 8) * _scalar(packed, np.float16, p, step + 512 + 2 * c)


def _read_mxfp4(packed, p, c, k):
    step = k // 64 * 1088
    code = _nibble(packed[..., p, step + k % 64 // 8 * 128 + c * 4 + k % 4], k)
    exponent = packed[..., p, step + 1024 + k % 64 // 32 * 32 + c].astype(np.int32) - 127
    magnitude = np.ldexp(_E2M1[code % 8], exponent)
    return np.where(code < 8, magnitude, -magnitude).astype(np.float32)


def _nibble(byte, k):
    return np.where(k % 8 < 4, byte & 15, byte >> 4)


def _signed(q, zero):
    return q.astype(np.float32) - zero


def _scalar(packed, dtype, p, at):
    """The number whose bytes begin at `at`."""
    size = np.dtype(dtype).itemsize
    number = np.stack([packed[..., p, at + i] for i in range(size)], axis=-1).view(dtype)[..., 0]
    return number.astype(np.float32)


_READERS = {
    "f32": _read_f32,
    "bf16": _read_bf16,
    "f16": _read_f32,
    "int8": _read_int8,
    "q8_0": _read_q8_0,
    "q4_0": _read_q4_0,
    "mxfp4": _read_mxfp4,
}
