# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights in the quantised formats that peers read, made of [E, out, in] f32 one expert at a time."""

from __future__ import annotations

import numpy as np


def per_expert(quantize):
    """A function of one matrix, on a stack of them."""

    def stacked(weights):
        return tuple(map(np.stack, zip(*map(quantize, weights))))

    return stacked


@per_expert
def int8_columns(weight):
    """Symmetric, one scale an output: [out, in] i8 and [out] f32."""
    scale = np.abs(weight).max(1) / 127
    return np.rint(weight / scale[:, None]).astype(np.int8), scale.astype(np.float32)


@per_expert
def int4_groups(weight, group=128):
    """GPTQ's symmetric layout: eight inputs in each word of [in/8, out] i32, lowest first, and [in/group, out] f32.

    The group is halved until it divides the inputs.
    """
    rows, columns = weight.shape
    while columns % group:
        group //= 2
    blocks = weight.reshape(rows, -1, group)
    scale = np.abs(blocks).max(2) / 7
    codes = np.clip(np.rint(blocks / scale[..., None]), -8, 7).astype(np.int32) + 8
    codes = codes.reshape(rows, columns // 8, 8) << (4 * np.arange(8, dtype=np.int32))
    return np.ascontiguousarray(np.bitwise_or.reduce(codes, 2).T), np.ascontiguousarray(scale.T.astype(np.float32))


E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)

NEAREST = np.searchsorted((E2M1[1:] + E2M1[:-1]) / 2, np.arange(33) / 4).astype(np.uint8)
"""Code of what lies above the quarter before and up to this one; borders between codes are quarters."""


@per_expert
def mxfp4_blocks(weight):
    """OCP MX 1.0: two codes a byte [out, in/2], the even one in the low half, and E8M0 scales [out, in/32] u8."""
    rows, columns = weight.shape
    blocks = weight.reshape(rows, -1, 32)
    exponent = np.floor(np.log2(np.maximum(np.abs(blocks).max(2), 2.0**-125))) - 2
    quarters = np.ceil(np.abs(blocks) * np.exp2(2 - exponent)[..., None]).astype(np.uint8)
    codes = (NEAREST[quarters] | np.signbit(blocks).view(np.uint8) << 3).reshape(rows, -1)
    return codes[:, ::2] | codes[:, 1::2] << 4, (exponent + 127).astype(np.uint8)


def int4_blocks(weights, block):
    """Two codes with zero 8 a byte, the even one in the low half: [E, out, in/2] u8, and [E, out, in/block] f32."""
    blocks = weights.reshape(*weights.shape[:2], -1, block)
    scale = np.abs(blocks).max(-1) / 7
    codes = (np.clip(np.rint(blocks / scale[..., None]), -8, 7) + 8).astype(np.uint8).reshape(weights.shape)
    return codes[..., ::2] | codes[..., 1::2] << 4, scale.astype(np.float32)
