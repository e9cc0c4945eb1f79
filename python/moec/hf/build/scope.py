# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the parts of one function share: its body, its number of rows, and the weights that it may read."""

from __future__ import annotations

from dataclasses import dataclass

from moec.hf.weights import Parameter
from moec.mlir.ops import elementwise, empty
from moec.mlir.text import Body, Shaped, Value


@dataclass(frozen=True)
class Scope:
    """One function under construction.

    Attributes
    ----------
    rows : Value
        Number of rows of the activations, index.
    parameters : dict of str to Parameter
        By role.
    layer : Value or None
        What the leading dimension of the parameters is indexed by.
    prefix : str
        What stands in front of all roles.
    """

    body: Body
    rows: Value
    parameters: dict[str, Parameter]
    layer: Value | None = None
    prefix: str = ""

    def weight(self, role: str) -> Value:
        """One layer's weights of a role."""
        parameter = self.parameters[self.prefix + role]
        shape = parameter.full_shape
        index = ""
        if self.layer:
            shape, index = shape[1:], f"[{self.layer}]"
        type = Shaped(shape, parameter.dtype)
        return self.body.op(f"{role}_weight", type, f"moe.load_parameter @{parameter.name}{index} : {type}")

    def linear(self, hint: str, x: Value, role: str, weight: Value | None = None) -> Value:
        """x [N, in] times the transpose of a weight, by default the role's, [out, in], plus the role's bias if any."""
        y = grouped_matmul(self.body, hint, x, weight or self.weight(role), self.rows)
        bias = f"{role}_bias"
        if self.prefix + bias not in self.parameters:
            return y
        ins = [(y, "nd"), (self.weight(bias), "d")]
        out = (empty(self.body, y.type.shape, self.rows), "nd")
        return elementwise(self.body, f"{hint}_biased", ins, out, lambda e, b: e + b)


def grouped_matmul(body: Body, hint: str, x: Value, weight: Value, rows: Value, offsets: Value | None = None) -> Value:
    """x [rows, in] times the transpose of a weight [out, in]; with offsets [E+1], one weight for each group of rows."""
    init = empty(body, (None, weight.type.shape[-2]), rows)
    groups = f"offsets({offsets} : {offsets.type}) " if offsets else ""
    return body.op(
        hint,
        init.type,
        f"moe.grouped_matmul ins({x}, {weight} : {x.type}, {weight.type}) {groups}"
        f"outs({init} : {init.type}) -> {init.type}",
    )
