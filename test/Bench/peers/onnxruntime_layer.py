# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ONNX Runtime's fused operators: MoE in f32, and QMoE in 8 and 4 bits.

Both normalise the weights of the chosen experts, take gate and up interleaved, and compute
`gate * sigmoid(alpha * gate) * (up + beta)`.
"""

from __future__ import annotations

import numpy as np
from quantize import int4_blocks
from worker import Refused, serve

BLOCK = 32
"""Inputs that share a scale."""


class Layer:
    def __init__(self, job):
        import onnxruntime

        self._ort = onnxruntime
        self._shape, self._quantised = job.shape, job.format != "f32"
        if job.shape.shared and self._quantised:
            raise Refused("QMoE has no shared expert")
        if self._quantised and (job.shape.hidden % BLOCK or job.shape.inner % BLOCK):
            raise Refused(f"sizes that are no multiples of its blocks of {BLOCK}")
        tensors = job.tensors
        gate, up, down = (_wide(tensors[name]) for name in ("gate", "up", "down"))
        gate_up = np.empty((job.shape.experts, 2 * job.shape.inner, job.shape.hidden), np.float32)
        gate_up[:, ::2], gate_up[:, 1::2] = gate, up
        self._weights = {"router": np.ascontiguousarray(_wide(tensors["router"]).T)}
        if self._quantised:
            self._weights["fc1"], self._weights["fc1_scales"] = int4_blocks(gate_up, BLOCK)
            self._weights["fc2"], self._weights["fc2_scales"] = int4_blocks(down, BLOCK)
        else:
            self._weights |= {"fc1": gate_up, "fc2": down}
        if job.shape.shared:
            for name in ("shared_gate", "shared_up", "shared_down"):
                self._weights[name] = np.ascontiguousarray(_wide(tensors[name]).T)
        model = self._model().SerializeToString()
        self._copies = [self._session(model, job.threads) for _ in range(job.copies)]
        del self._weights

    def _model(self):
        """The layer as a graph whose initializers come from outside."""
        from onnx import TensorProto, helper

        common = dict(domain="com.microsoft", k=self._shape.top_k, activation_type="swiglu", swiglu_fusion=1)
        common |= dict(normalize_routing_weights=1, activation_alpha=1.0, activation_beta=0.0)
        nodes = [helper.make_node("MatMul", ["x", "router"], ["logits"])]
        if self._quantised:
            inputs = ["x", "logits", "fc1", "fc1_scales", "", "fc2", "fc2_scales"]
            nodes.append(helper.make_node("QMoE", inputs, ["y"], expert_weight_bits=4, block_size=BLOCK, **common))
        else:
            nodes.append(helper.make_node("MoE", ["x", "logits", "fc1", "", "fc2"], ["y"], **common))
        if self._shape.shared:
            nodes += [
                helper.make_node("MatMul", ["x", "shared_gate"], ["g"]),
                helper.make_node("MatMul", ["x", "shared_up"], ["u"]),
                helper.make_node("Sigmoid", ["g"], ["s"]),
                helper.make_node("Mul", ["g", "s"], ["silu"]),
                helper.make_node("Mul", ["silu", "u"], ["h"]),
                helper.make_node("MatMul", ["h", "shared_down"], ["shared"]),
                helper.make_node("Add", ["y", "shared"], ["sum"]),
            ]
        types = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.uint8): TensorProto.UINT8}
        initializers = []
        for name, array in self._weights.items():
            tensor = TensorProto(name=name, dims=array.shape, data_type=types[array.dtype])
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="memory")
            initializers.append(tensor)
        rows = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["T", self._shape.hidden])
            for name in ("x", nodes[-1].output[0])
        ]
        graph = helper.make_graph(nodes, "layer", rows[:1], rows[1:], initializers)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def _session(self, model, threads):
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        copies = {name: array.copy() for name, array in self._weights.items()}
        values = [self._ort.OrtValue.ortvalue_from_numpy(array) for array in copies.values()]
        options.add_external_initializers(list(copies), values)
        session = self._ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return session, copies, values

    def bind(self, rows):
        return {"x": rows}

    def run(self, rows, copy, variant):
        return self._copies[copy][0].run(None, rows)[0]

    def result(self, returned):
        return returned


def _wide(array):
    """f32 of what is bf16 or f32."""
    return (array.astype(np.uint32) << 16).view(np.float32) if array.dtype == np.uint16 else array


if __name__ == "__main__":
    serve(Layer)
