# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs a package on arrays, NumPy's or another framework's."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from moec import runtime
from moec.errors import Error
from moec.generate import stream

# DLPack's numbers of device types for memory that the CPU reads: its own, and that pinned for CUDA.
_HOST_DEVICES = (1, 3)


def load(
    package: str | os.PathLike[str], threads: int | None = None, isa: str | None = None, weights: str = "copy"
) -> Model:
    """Open a package.

    Parameters
    ----------
    package : path
    threads : int or None
        Threads of each call; None is one for each CPU that the process may use.
    isa : str or None
        Level whose code runs, e.g. ``"v3"``; None is the best of those that this CPU has.
    weights : str
        ``"copy"`` reads them into huge pages of this process: the fastest. ``"map"`` maps their file: processes share
        it, and it is open at once.

    Raises
    ------
    Error
        If the package is damaged, or this machine cannot run it.
    """
    return Model(package, threads, isa, weights)


class Model:
    """An open package. Its functions are methods, e.g. ``model.block(x)``.

    They take NumPy arrays, tensors that speak DLPack, and whatever else NumPy makes an array of. What is contiguous and
    of the argument's type is read where it lies, even if it is read-only; the rest is copied first, and converted as
    NumPy's rule "same_kind" allows, e.g. f64 to f32. Results are new NumPy arrays, which ``torch.from_dlpack`` shares.

    A model is used by one thread at a time.

    Attributes
    ----------
    vocab, max_len : int
        Number of token ids, and longest sequence in tokens; 0 if the package is not a language model.
    bos : int or None
        Id that begins a text.
    has_encoder : bool
        Whether texts answer sources, which `encode` takes.
    eos : tuple of int
        Ids that end a text.
    """

    def __init__(
        self,
        package: str | os.PathLike[str],
        threads: int | None = None,
        isa: str | None = None,
        weights: str = "copy",
    ):
        if weights not in runtime.WEIGHTS:
            raise Error(f"weights: expected copy or map, got {weights}")
        self._library = runtime.library()
        self._threads = threads or 0
        self._handle = runtime.Handle(self._library.moe_model_close)
        model = self._handle.pointer
        options = runtime.OpenOptions(isa.encode() if isa else None, runtime.WEIGHTS[weights])
        self._library.moe_model_open(os.fsencode(package), options, model)
        self._state: _State | None = None
        functions = (self._library.moe_function_at(model, i) for i in range(self._library.moe_num_functions(model)))
        self._functions = {function.contents.name.decode(): function for function in functions}
        info = self._library.moe_model_describe(model).contents
        self.vocab, self.max_len = info.vocab, info.max_len
        self.bos = info.bos if info.bos >= 0 else None
        self.eos = tuple(info.eos[: info.num_eos])
        self.has_encoder = bool(self.vocab) and "encode" in self._functions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in self._functions:
            raise AttributeError(f"the package has no function {name}")
        return functools.partial(self._call, name)

    def reserve(self, slots: int, max_len: int, max_tokens: int) -> None:
        """Allocate empty caches and workspace for `forward`.

        Parameters
        ----------
        slots : int
            Sequences that are cached at the same time.
        max_len : int
            Tokens of each.
        max_tokens : int
            Tokens, sequences, and rows of logits of one call.

        Raises
        ------
        Error
            If there is not enough memory.
        """
        self._state = None
        self._state = _State(self._library, self._handle, (slots, max_len, max_tokens), self._threads)

    def require(self, slots: int, max_len: int, max_tokens: int) -> None:
        """As `reserve`, unless as much is reserved already; then the caches keep their contents."""
        needed, have = (slots, max_len, max_tokens), self._state.sizes if self._state else (0, 0, 0)
        if self._state is None or any(h < n for h, n in zip(have, needed)):
            self.reserve(*map(max, have, needed))

    def forward(
        self, tokens: np.ndarray, cu: np.ndarray, past: np.ndarray, slot: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """Run N tokens of B sequences, concatenated, in the caches that `reserve` made.

        Parameters
        ----------
        tokens : array [N] i32
            Token ids.
        cu : array [B+1] i32
            Sequence b owns rows cu[b] to cu[b+1].
        past : array [B] i32
            Tokens that are already cached.
        slot : array [B] i32
            Where, all different.
        rows : array [R] i32
            Rows whose logits are wanted.

        Returns
        -------
        array [R, vocab] f32

        Raises
        ------
        Error
            If an argument is not as described, or more than was reserved.
        """
        if self._state is None:
            raise Error("forward: expected reserve to be called first")
        return self._run("forward", self._inputs("forward", [tokens, cu, past, slot, rows]))

    def encode(self, tokens: np.ndarray, cu: np.ndarray, slot: np.ndarray) -> None:
        """Run the encoder on B whole sources, concatenated; `forward` then answers the sources of its slots.

        Parameters
        ----------
        tokens : array [N] i32
            Token ids.
        cu : array [B+1] i32
            Source b owns rows cu[b] to cu[b+1], at least one.
        slot : array [B] i32
            Where it is kept, all different.

        Raises
        ------
        Error
            If the package has no encoder, an argument is not as described, or more than was reserved.
        """
        if self._state is None:
            raise Error("encode: expected reserve to be called first")
        self._run("encode", self._inputs("encode", [tokens, cu, slot]))

    def logits(self, input_ids: np.ndarray) -> np.ndarray:
        """Logits of every token of a batch of texts of one length. The caches are overwritten.

        Parameters
        ----------
        input_ids : array [B, S] of int

        Returns
        -------
        array [B, S, vocab] f32
        """
        input_ids = np.asarray(input_ids, np.int32)
        batch, length = input_ids.shape
        count = batch * length
        self.require(batch, length, max(count, batch))
        cu, past, rows = np.arange(batch + 1) * length, np.zeros(batch, np.int32), np.arange(count)
        result = self.forward(input_ids.reshape(-1), cu, past, np.arange(batch), rows)
        return result.reshape(batch, length, self.vocab)

    def generate(
        self,
        prompts: Sequence[int] | Sequence[Sequence[int]],
        max_new_tokens: int,
        temperature: float = 0,
        top_p: float = 1,
        seed: int | None = None,
    ) -> list[int] | list[list[int]]:
        """Continue one prompt, or several at the same time, or answer them with an encoder-decoder. The caches are
        overwritten.

        Parameters
        ----------
        prompts : sequence of int, or of such sequences
            Token ids.
        max_new_tokens, temperature, top_p, seed
            As in `moec.generate.stream`.

        Returns
        -------
        list of int, or list of such lists
            New tokens of each prompt, including the one that ended it.
        """
        single = len(prompts) > 0 and not isinstance(prompts[0], (Sequence, np.ndarray))
        batch = [prompts] if single else prompts
        texts: list[list[int]] = [[] for _ in batch]
        for index, token in stream(self, batch, max_new_tokens, temperature, top_p, seed):
            texts[index].append(token)
        return texts[0] if single else texts

    def _call(self, name: str, *inputs: Any) -> Any:
        """Call a function that has no caches: arrays in, array or tuple of arrays out."""
        arrays = self._inputs(name, inputs)
        self.require(0, 0, max((extent for array in arrays for extent in array.shape), default=0))
        return self._run(name, arrays)

    def _inputs(self, name: str, inputs: Sequence[Any]) -> list[np.ndarray]:
        """The inputs of a function as it takes them."""
        if name not in self._functions:
            raise Error(f"{name}: expected one of {', '.join(self._functions)}")
        wanted = self._arguments(name, runtime.INPUT)
        if len(inputs) != len(wanted):
            raise Error(f"{name}: expected {len(wanted)} arrays, got {len(inputs)}")
        return [_converted(array, argument) for array, argument in zip(inputs, wanted)]

    def _run(self, name: str, arrays: list[np.ndarray]) -> Any:
        outputs = self._state.call(self._functions[name], arrays, self._arguments(name, runtime.OUTPUT))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _arguments(self, name: str, kind: int) -> list[runtime.Argument]:
        function = self._functions[name].contents
        return [argument for argument in function.arguments[: function.num_arguments] if argument.kind == kind]


class _State:
    """Caches and workspace."""

    def __init__(self, library: ctypes.CDLL, model: runtime.Handle, sizes: tuple[int, int, int], threads: int):
        self.sizes = sizes
        self._library = library
        self._handle = runtime.Handle(library.moe_state_destroy, model)
        library.moe_state_create(model.pointer, *sizes, threads, self._handle.pointer)

    def call(self, function: Any, arrays: list[np.ndarray], results: list[runtime.Argument]) -> list[np.ndarray]:
        """Run a function and return its outputs."""
        state, inputs = self._handle.pointer, runtime.tensors(arrays)
        outputs: list[np.ndarray] = []
        for number, result in enumerate(results):
            shape = (ctypes.c_int64 * result.rank)()
            self._library.moe_output_shape(state, function, inputs, len(arrays), number, shape)
            outputs.append(np.empty(tuple(shape), _dtype(result)))
        self._library.moe_call(state, function, inputs, len(arrays), runtime.tensors(outputs), len(outputs))
        return outputs


def _converted(x: Any, argument: runtime.Argument) -> np.ndarray:
    """A contiguous array of the argument's type; a copy only if x is not one already."""
    name, dtype = argument.name.decode(), _dtype(argument)
    array = _shared(x, name, dtype)
    try:
        return array.astype(dtype, order="C", casting="same_kind", copy=False)
    except TypeError:
        raise Error(f"{name}: expected {dtype}, got {array.dtype}") from None


def _shared(x: Any, name: str, dtype: np.dtype[Any]) -> np.ndarray:
    """What NumPy or DLPack sees, in its own memory."""
    if isinstance(x, np.ndarray) or not hasattr(x, "__dlpack__"):
        return np.asarray(x)
    device = int(x.__dlpack_device__()[0])
    if device not in _HOST_DEVICES:
        raise Error(f"{name}: expected a tensor in the memory of the CPU, got one on DLPack's device type {device}")
    try:
        return np.from_dlpack(x)
    except (BufferError, RuntimeError) as error:
        raise Error(f"{name}: expected {dtype}, got a tensor that NumPy does not take: {error}") from None


def _dtype(argument: runtime.Argument) -> np.dtype[Any]:
    if argument.dtype not in runtime.DTYPES:
        raise Error(f"{argument.name.decode()}: expected a type that NumPy has")
    return runtime.DTYPES[argument.dtype]
