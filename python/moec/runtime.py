# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The C API of libmoe-runtime (include/moe-runtime/moe.h), as ctypes sees it."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p

import numpy as np

from moec.errors import Error
from moec.native import find_library

DTYPES = {
    0: np.dtype(np.float64),
    1: np.dtype(np.float32),
    2: np.dtype(np.float16),
    6: np.dtype(np.int64),
    7: np.dtype(np.int32),
    8: np.dtype(np.int16),
    9: np.dtype(np.int8),
    10: np.dtype(np.uint8),
    11: np.dtype(np.bool_),
}
"""NumPy's types for values of moe_dtype; the formats that NumPy lacks are not there."""

_CODES = {dtype: code for code, dtype in DTYPES.items()}

INPUT, STATE, OUTPUT = range(3)
"""Values of moe_kind."""


WEIGHTS = {"copy": 0, "map": 1}
"""Values of moe_weights."""


class OpenOptions(ctypes.Structure):
    _fields_ = [("isa", c_char_p), ("weights", c_int)]


class ModelInfo(ctypes.Structure):
    _fields_ = [
        ("compiler", c_char_p),
        ("compute", c_char_p),
        ("isa", c_char_p),
        ("json", c_char_p),
        ("vocab", c_int64),
        ("max_len", c_int64),
        ("bos", c_int64),
        ("num_eos", c_size_t),
        ("eos", POINTER(c_int64)),
        ("tokenizer", c_char_p),
    ]


class Extent(ctypes.Structure):
    _fields_ = [("symbol", c_char_p), ("value", c_int64)]


class Argument(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("kind", c_int),
        ("dtype", c_int),
        ("rank", c_size_t),
        ("shape", POINTER(Extent)),
    ]


class Function(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("num_inputs", c_size_t),
        ("num_outputs", c_size_t),
        ("num_arguments", c_size_t),
        ("arguments", POINTER(Argument)),
    ]


class Tensor(ctypes.Structure):
    _fields_ = [("dtype", c_int), ("rank", c_size_t), ("shape", POINTER(c_int64)), ("data", c_void_p)]


_SIGNATURES = {
    "moe_error": (c_char_p, []),
    "moe_model_open": (c_int, [c_char_p, POINTER(OpenOptions), POINTER(c_void_p)]),
    "moe_model_close": (None, [c_void_p]),
    "moe_model_describe": (POINTER(ModelInfo), [c_void_p]),
    "moe_num_functions": (c_size_t, [c_void_p]),
    "moe_function_at": (POINTER(Function), [c_void_p, c_size_t]),
    "moe_state_create": (c_int, [c_void_p, c_int64, c_int64, c_int64, c_int64, POINTER(c_void_p)]),
    "moe_state_destroy": (None, [c_void_p]),
    "moe_output_shape": (
        c_int,
        [c_void_p, POINTER(Function), POINTER(Tensor), c_size_t, c_size_t, POINTER(c_int64)],
    ),
    "moe_call": (
        c_int,
        [c_void_p, POINTER(Function), POINTER(Tensor), c_size_t, POINTER(Tensor), c_size_t],
    ),
}


@functools.lru_cache(maxsize=None)
def library() -> ctypes.CDLL:
    """The library; functions that return a status raise `Error` when it is not MOE_OK.

    Raises
    ------
    Error
        If the library cannot be loaded.
    """
    try:
        lib = ctypes.CDLL(find_library("libmoe-runtime.so"))
    except OSError as error:
        raise Error(f"libmoe-runtime: {error}") from None
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
        if result is c_int:
            function.errcheck = lambda status, *_: _check(lib, status)
    return lib


class Handle:
    """An object of the library, destroyed when nobody refers to it.

    Parameters
    ----------
    destroy : callable
        The library's function that ends it.
    owners : Handle
        Objects that must outlive it.
    """

    def __init__(self, destroy: Callable[[c_void_p], None], *owners: Handle):
        self.pointer = c_void_p()
        self._owners = owners
        weakref.finalize(self, destroy, self.pointer)


def tensors(arrays: list[np.ndarray]) -> ctypes.Array[Tensor]:
    """Contiguous arrays as the library takes them; they must outlive the call."""
    described = [
        Tensor(_CODES[array.dtype], array.ndim, (c_int64 * array.ndim)(*array.shape), array.ctypes.data)
        for array in arrays
    ]
    return (Tensor * len(arrays))(*described)


def _check(lib: ctypes.CDLL, status: int) -> None:
    if status:
        raise Error(lib.moe_error().decode("utf-8", "replace"))
