# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors of other frameworks go in and out without copies."""

import numpy as np
import pytest

import moec
from moec import ops, runtime
from moec.native import find_tool

torch = pytest.importorskip("torch")

try:
    find_tool("moe-compile")
except moec.Error:
    pytest.skip("needs moe-compile", allow_module_level=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    program = ops.Program()

    @program.function(x=ops.f32("T", 5), i=ops.i32("T"))
    def double(x, i):
        return 2 * x, i + i

    @program.function(x=ops.f32("T", 5), factor=ops.f32())
    def scale(x, factor):
        return x * factor

    package = tmp_path_factory.mktemp("dlpack") / "double.moe"
    moec.compile(program, package)
    return moec.load(package)


@pytest.fixture
def addresses(monkeypatch):
    """Where the tensors lie that the runtime is given, call by call: inputs for each output's shape and for the call,
    then outputs."""
    seen = []

    def tensors(arrays):
        seen.append([array.ctypes.data for array in arrays])
        return original(arrays)

    original = runtime.tensors
    monkeypatch.setattr(runtime, "tensors", tensors)
    return seen


class Exported:
    """What speaks DLPack and nothing else."""

    def __init__(self, tensor, device=None):
        self._tensor = tensor
        self._device = device

    def __dlpack__(self, **options):
        return self._tensor.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._device or self._tensor.__dlpack_device__()


X = np.arange(15, dtype=np.float32).reshape(3, 5)
I = np.array([4, -1, 7], np.int32)  # noqa: E741


@pytest.mark.parametrize("wrap", [lambda x: x, torch.from_numpy, lambda x: Exported(torch.from_numpy(x))])
def test_no_copies(model, addresses, wrap):
    x, i = X.copy(), I.copy()
    doubled, sums = model.double(wrap(x), wrap(i))
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_array_equal(sums, 2 * i)
    inputs, outputs = addresses
    assert inputs == [x.ctypes.data, i.ctypes.data]
    assert outputs == [torch.from_dlpack(doubled).data_ptr(), np.from_dlpack(sums).ctypes.data]


def test_read_only(model, addresses):
    x = X.copy()
    x.flags.writeable = False
    np.testing.assert_array_equal(model.double(x, I)[0], 2 * x)
    assert addresses[0][0] == x.ctypes.data


def test_no_token(model):
    doubled, sums = model.double(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int32))
    assert doubled.shape == (0, 5) and sums.shape == (0,)


@pytest.mark.parametrize(
    "x",
    [torch.from_numpy(X.T.copy()).T, torch.from_numpy(np.repeat(X, 2, axis=1))[:, ::2], torch.from_numpy(X).double()],
    ids=["transposed", "strided", "f64"],
)
def test_copied(model, x):
    """What the package cannot read as it is."""
    np.testing.assert_array_equal(model.double(x, torch.from_numpy(I).long())[0], 2 * X)


REFUSED = {
    "bf16": (torch.ones(3, 5, dtype=torch.bfloat16), "^x: expected float32, got a tensor that NumPy does not take: "),
    "gradient": (torch.ones(3, 5, requires_grad=True), "^x: expected float32, .*use tensor.detach"),
    "device": (Exported(torch.ones(3, 5), (2, 0)), "^x: expected a tensor in the memory of the CPU, .* type 2$"),
    "shape": (torch.ones(3, 4), "input 'x': expected extent 5 in dimension 1, got 4$"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(model, name):
    x, message = REFUSED[name]
    with pytest.raises(moec.Error, match=message):
        model.double(x, I)


def test_refused_kind(model):
    with pytest.raises(moec.Error, match="^i: expected int32, got float32$"):
        model.double(X, torch.ones(3))


def test_scalar(model):
    """A tensor without extents stays one."""
    x = np.ones((3, 5), np.float32)
    np.testing.assert_array_equal(model.scale(x, torch.tensor(2.5)), np.full((3, 5), 2.5))
    np.testing.assert_array_equal(model.scale(x, 2.5), np.full((3, 5), 2.5))
