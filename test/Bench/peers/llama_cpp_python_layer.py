# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""llama.cpp: the operations that its models build of experts, as one ggml graph.

A variant is the type of the weights and where they are kept: as they are, or in the buffer for weights that are
rearranged while they are loaded (`repacked`), which llama.cpp asks first and which not every type supports.
"""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

import numpy as np
from worker import Refused, serve

TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "BF16": 30, "MXFP4": 39}
"""ggml_type."""

BUFFER_OFFSET = 8
"""Of the pointer to its buffer in a ggml_tensor."""


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


class Ggml:
    """ggml's functions, less the prefix; every integer and pointer is passed in 64 bits."""

    def __init__(self):
        folder = Path(importlib.util.find_spec("llama_cpp").submodule_search_locations[0]) / "lib"
        self._libraries = [
            ctypes.CDLL(folder / f"lib{name}.so", ctypes.RTLD_GLOBAL) for name in ("ggml-base", "ggml-cpu")
        ]

    def __getattr__(self, name):
        library = next(library for library in self._libraries if hasattr(library, f"ggml_{name}"))
        function = getattr(library, f"ggml_{name}")
        function.restype = ctypes.c_void_p

        def call(*arguments):
            wide = (ctypes.c_int64(a) if isinstance(a, int) else a for a in arguments)
            return function(*wide)

        setattr(self, name, call)
        return call

    def context(self, tensors):
        """Room to describe so many tensors and a graph; the data is elsewhere."""
        return self.init(InitParams(tensors * 512 + (1 << 20), None, True))


class Layer:
    def __init__(self, job):
        self._ggml, self._shape = Ggml(), job.shape
        self._backend = self._ggml.backend_cpu_init()
        self._ggml.backend_cpu_set_n_threads(self._backend, job.threads)
        self._plain = self._ggml.backend_cpu_buffer_type()
        self._copies, self._refused = {}, {}
        for variant in job.variants:
            try:
                self._copies[variant] = self._load(variant, job)
            except Refused as refused:
                self._refused[variant] = refused

    def _load(self, variant, job):
        """Each copy of the weights: tensors by name."""
        shape = self._shape
        name, _, repacked = variant.partition(" ")
        type, place = TYPES[name], self._repacking() if repacked else self._plain
        sizes = {"gate": (shape.hidden, shape.inner, shape.experts), "down": (shape.inner, shape.hidden, shape.experts)}
        sizes["up"] = sizes["gate"]
        if shape.shared:
            sizes |= {"shared_gate": (shape.hidden, shape.shared), "shared_down": (shape.shared, shape.hidden)}
            sizes["shared_up"] = sizes["shared_gate"]
        if any(size[0] % (256 if name == "Q4_K" else 32) for size in sizes.values()) and name[0] in "QM":
            raise Refused(f"rows that are no multiple of the blocks of {name}")
        if repacked and not self._supports(type, place, sizes["gate"]):
            raise Refused(f"experts in {name} are not rearranged")
        data = {tensor: self._quantise(job.tensors[tensor], type) for tensor in sizes}
        data["router"] = self._quantise(job.tensors["router"], TYPES["F32"])
        return [self._place(data, sizes, type, place) for _ in range(job.copies)]

    def _repacking(self):
        """The type of the buffer for weights that are rearranged."""
        ggml = self._ggml
        device = ggml.backend_get_device(self._backend)
        registry = ggml.backend_dev_backend_reg(device)
        address = ggml.backend_reg_get_proc_address(registry, b"ggml_backend_dev_get_extra_bufts")
        types = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)(device)
        for place in iter(iter(types).__next__, None):
            if ctypes.string_at(ggml.backend_buft_name(place)) == b"CPU_REPACK":
                return place
        raise Refused("no buffer for weights that are rearranged")

    def _supports(self, type, place, size):
        """Whether a product with experts takes them from there, which is how llama.cpp asks."""
        ggml = self._ggml
        context = ggml.context(8)
        weight = ggml.new_tensor_3d(context, type, *size)
        rows = ggml.new_tensor_3d(context, TYPES["F32"], size[0], 1, 16)
        experts = ggml.new_tensor_2d(context, 26, self._shape.top_k, 16)  # GGML_TYPE_I32
        buffer = ggml.backend_buft_alloc_buffer(place, 0)
        ctypes.c_void_p.from_address(weight + BUFFER_OFFSET).value = buffer
        product = ggml.mul_mat_id(context, weight, rows, experts)
        return bool((ggml.backend_dev_supports_op(ggml.backend_get_device(self._backend), product) or 0) & 1)

    def _quantise(self, array, type):
        rows = array.reshape(-1, array.shape[-1])
        if array.dtype == np.uint16 and type == TYPES["BF16"]:
            return rows
        ggml = self._ggml
        row_bytes = ggml.row_size(type, rows.shape[1])
        result, step = np.empty((len(rows), row_bytes), np.uint8), 1 << 14
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            part = (part.astype(np.uint32) << 16).view(np.float32) if part.dtype == np.uint16 else np.array(part)
            out = result[start : start + step]
            ggml.quantize_chunk(type, part.ctypes.data_as(ctypes.c_void_p), out.ctypes.data, 0, *part.shape, None)
        return result

    def _place(self, data, sizes, type, place):
        """One copy of the weights: what lies in the buffer for rearranging is the matrices of experts."""
        ggml, shape, copy = self._ggml, self._shape, {}
        router = {"router": (shape.hidden, shape.experts)}
        for part, type, place in ((sizes, type, place), (router, TYPES["F32"], self._plain)):
            context = ggml.context(len(part))
            for name, size in part.items():
                copy[name] = {2: ggml.new_tensor_2d, 3: ggml.new_tensor_3d}[len(size)](context, type, *size)
            ggml.backend_alloc_ctx_tensors_from_buft(context, place)
            for name in part:
                ggml.backend_tensor_set(copy[name], data[name].ctypes.data, 0, data[name].nbytes)
        return copy

    def _graph(self, weights, tokens):
        """Rows, graph and result, as llama.cpp's llm_graph_context::build_moe_ffn builds them."""
        ggml, shape = self._ggml, self._shape
        context = ggml.context(64)
        rows = ggml.new_tensor_2d(context, TYPES["F32"], shape.hidden, tokens)
        ggml.set_input(rows)
        scores = ggml.soft_max(context, ggml.mul_mat(context, weights["router"], rows))
        experts = ggml.argsort_top_k(context, scores, shape.top_k)
        factors = ggml.get_rows(context, ggml.reshape_3d(context, scores, 1, shape.experts, tokens), experts)
        factors = ggml.reshape_2d(context, factors, shape.top_k, tokens)
        factors = ggml.div(context, factors, ggml.sum_rows(context, factors))
        factors = ggml.reshape_3d(context, factors, 1, shape.top_k, tokens)
        slots = ggml.reshape_3d(context, rows, shape.hidden, 1, tokens)
        up = ggml.mul_mat_id(context, weights["up"], slots, experts)
        gate = ggml.mul_mat_id(context, weights["gate"], slots, experts)
        down = ggml.mul_mat_id(context, weights["down"], ggml.swiglu_split(context, gate, up), experts)
        down = ggml.mul(context, down, factors)
        graph = ggml.new_graph(context)
        ggml.build_forward_expand(graph, down)
        row = 4 * shape.hidden
        slots = [
            ggml.view_2d(context, down, shape.hidden, tokens, row * shape.top_k, row * slot)
            for slot in range(shape.top_k)
        ]
        y = slots[0]
        for slot in slots[1:]:
            y = ggml.add(context, y, slot)
        if shape.shared:
            gate, up = (ggml.mul_mat(context, weights[name], rows) for name in ("shared_gate", "shared_up"))
            inner = ggml.swiglu_split(context, gate, up)
            y = ggml.add(context, y, ggml.mul_mat(context, weights["shared_down"], inner))
        ggml.set_output(y)
        ggml.build_forward_expand(graph, y)
        ggml.gallocr_alloc_graph(ggml.gallocr_new(self._plain), graph)
        return rows, graph, y

    def bind(self, rows):
        """Graphs are built before calls; each number of tokens has its own."""
        if getattr(self, "_tokens", None) != len(rows):
            self._tokens = len(rows)
            self._graphs = {
                variant: [self._graph(copy, len(rows)) for copy in copies] for variant, copies in self._copies.items()
            }
        return np.ascontiguousarray(rows)

    def run(self, rows, copy, variant):
        if variant in self._refused:
            raise self._refused[variant]
        x, graph, y = self._graphs[variant][copy]
        result = np.empty_like(rows)
        self._ggml.backend_tensor_set(x, rows.ctypes.data, 0, rows.nbytes)
        self._ggml.backend_graph_compute(self._backend, graph)
        self._ggml.backend_tensor_get(y, result.ctypes.data, 0, result.nbytes)
        return result

    def result(self, returned):
        return returned


if __name__ == "__main__":
    serve(Layer)
