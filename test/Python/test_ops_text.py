# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What moec.ops prints, and what it refuses."""

import subprocess

import numpy as np
import pytest

import moec
from moec import ops
from moec.native import find_tool

ARGUMENTS = {
    "x": ops.f32("T", 160),
    "s": ops.f32("T", 16),
    "b": ops.f32(16),
    "i": ops.i32("T", 4),
    "p": ops.f32("T", 4),
    "cu": ops.i32("B+1"),
    "rows": ops.f32("N", 96),
    "bias": ops.bf16(16, 96),
    "w": ops.bf16(16, 96, 160),
    "offsets": ops.i32(17),
    "counts": ops.i32(16),
    "seed": ops.i32(2),
}
"""Arguments of all functions here: T tokens, 16 experts, 4 slots, hidden size 160, intermediate size 96."""

INDEX, SCORES, KEPT = "tensor<?x4xi32>", "tensor<?x16xf32>", "tensor<?x4xf32>"


def trace(build):
    """The text of a program whose only function does `build` and returns its first argument."""
    program = ops.Program()

    @program.function(**ARGUMENTS)
    def function(**arguments):
        build(**arguments)
        return arguments["x"]

    return str(program)


def printed(build):
    """The lines of operations of the dialect."""
    return [line.strip() for line in trace(build).splitlines() if "moe." in line and "moe.name" not in line]


TEXTS = {
    "softmax": (
        lambda s, **_: ops.score(s),
        f"%scores = moe.score softmax %s : {SCORES}",
    ),
    "sigmoid": (
        lambda s, **_: ops.score(s, "sigmoid"),
        f"%scores = moe.score sigmoid %s : {SCORES}",
    ),
    "over tokens": (
        lambda s, **_: ops.score(s, over_tokens=True),
        f"%scores = moe.score softmax %s over_tokens : {SCORES}",
    ),
    "over tokens of groups": (
        lambda s, cu, **_: ops.score(s, over_tokens=True, cu=cu),
        f"%scores = moe.score softmax %s over_tokens of(%cu : tensor<?xi32>) : {SCORES}",
    ),
    "select": (
        lambda s, **_: ops.select(s, 4),
        f"%idx = moe.select %s top 4 : {SCORES}",
    ),
    "select with everything": (
        lambda s, b, **_: ops.select(s, 4, bias=b, groups=ops.Groups(8, keep=4, terms=2), above=0, until=0.9),
        "%idx = moe.select %s top 4 bias(%b : tensor<16xf32>) groups <8 keep 4 by 2 fill neg_inf> above 0.0 "
        f"until 0.9 : {SCORES}",
    ),
    "weigh": (
        lambda s, i, **_: ops.weigh(s, i),
        f"%weights = moe.weigh %s at %i : {SCORES}, {INDEX}",
    ),
    "weigh with an epsilon": (
        lambda s, i, **_: ops.weigh(s, i, norm="sum", plus=1e-20, scale=2.5),
        f"%weights = moe.weigh %s at %i norm sum plus 1.0e-20 scale 2.5 : {SCORES}, {INDEX}",
    ),
    "weigh with a least sum": (
        lambda s, i, **_: ops.weigh(s, i, norm="l2", at_least=0.001),
        f"%weights = moe.weigh %s at %i norm l2 at_least 0.001 : {SCORES}, {INDEX}",
    ),
    "limit": (
        lambda i, **_: ops.limit(i, 16, 64),
        f"%kept = moe.limit %i into 16 capacity <64> : {INDEX}",
    ),
    "limit with everything": (
        lambda i, cu, p, **_: ops.limit(
            i, 16, ops.Capacity(1.25, "ceil", least=4, multiple=4), cu=cu, priority=p, token_major=True
        ),
        "%kept = moe.limit %i into 16 capacity <1.25 ceil min 4 multiple 4> of(%cu : tensor<?xi32>) "
        f"by(%p : {KEPT}) token_major : {INDEX}",
    ),
    "group_add": (
        lambda rows, bias, offsets, **_: ops.group_add(rows, bias, offsets),
        "%biased = moe.group_add %rows, %bias by %offsets : tensor<?x96xf32>, tensor<16x96xbf16>, tensor<17xi32>",
    ),
    "glu": (
        lambda rows, **_: ops.glu(rows, rows),
        "%hidden = moe.glu swiglu %rows, %rows : tensor<?x96xf32>",
    ),
    "glu with everything": (
        lambda rows, **_: ops.glu(rows, rows, alpha=1.702, offset=1, limit=7, post=True),
        "%hidden = moe.glu swiglu %rows, %rows alpha 1.702 offset 1.0 limit 7.0 post : tensor<?x96xf32>",
    ),
    "situ": (
        lambda rows, **_: ops.glu(rows, rows, "situ", alpha=25, beta=25),
        "%hidden = moe.glu situ %rows, %rows alpha 25.0 beta 25.0 : tensor<?x96xf32>",
    ),
    "glu without a gate": (
        lambda rows, **_: ops.glu(rows, kind="relu2", limit=6),
        "%hidden = moe.glu relu2 %rows limit 6.0 : tensor<?x96xf32>",
    ),
    "balance": (
        lambda s, i, cu, **_: ops.aux_loss("balance", s, i, scale=0.01, cu=cu),
        f"%loss = moe.aux_loss balance %s at(%i : {INDEX}) of(%cu : tensor<?xi32>) scale 0.01 : {SCORES}",
    ),
    "z": (
        lambda s, **_: ops.aux_loss("z", s),
        f"%loss = moe.aux_loss z %s : {SCORES}",
    ),
    "bias_update": (
        lambda b, counts, **_: ops.bias_update("sign", b, counts, 0.001),
        "%updated = moe.bias_update sign %b, %counts rate 0.001 : tensor<16xf32>, tensor<16xi32>",
    ),
    "noise": (
        lambda seed, s, **_: ops.noise("gumbel", seed, s),
        f"%noise = moe.noise gumbel %seed like %s : tensor<2xi32>, {SCORES}",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(name):
    build, text = TEXTS[name]
    assert printed(build) == [text]


def test_parse():
    """The compiler reads what is printed."""
    try:
        tool = find_tool("moe-opt")
    except moec.Error:
        pytest.skip("needs moe-opt")
    for build, text in TEXTS.values():
        result = subprocess.run([tool], input=trace(build), capture_output=True, text=True)
        assert result.returncode == 0, f"{text}\n{result.stderr}"


def test_soft():
    def soft(x, s, cu, **_):
        ops.soft_combine(ops.soft_dispatch(x, s, cu), s, cu)

    assert printed(soft) == [
        f"%xs = moe.soft_dispatch %x, %s of(%cu : tensor<?xi32>) : tensor<?x160xf32>, {SCORES}",
        f"%y = moe.soft_combine %xs, %s of(%cu : tensor<?xi32>) : tensor<?x160xf32>, {SCORES}",
    ]


def test_experts():
    """Each segment is a region; tensors of several experts are indexed by the number of an expert inside it."""

    def build(rows, bias, offsets, **_):
        ops.experts(rows, offsets, [14, 2], [lambda rows, e: rows + bias[e], lambda rows, e: rows])

    lines = [line.strip() for line in trace(build).splitlines()]
    types = "tensor<?x96xf32>, tensor<17xi32> -> tensor<?x96xf32>"
    first = lines.index(f"%ys = moe.experts %rows by %offsets segments [14, 2] : {types} {{")
    assert lines[first + 1 : first + 3] == [
        "^bb0(%rows_1: tensor<?x96xf32>, %e: index):",
        "%part = tensor.extract_slice %bias[%e, 0] [1, 96] [1, 1] : tensor<16x96xbf16> to tensor<96xbf16>",
    ]
    second = lines.index("}, {")
    assert lines[second - 1 : second + 4] == [
        "moe.yield %add : tensor<?x96xf32>",
        "}, {",
        "^bb0(%rows_1: tensor<?x96xf32>, %e: index):",
        "moe.yield %rows_1 : tensor<?x96xf32>",
        "}",
    ]


def test_weights():
    """Weights that are used are declared, once, and are not in the text."""
    program = ops.Program()
    used, unused = program.weight("used", np.ones((2, 3))), program.weight("unused", np.ones(3))
    assert "unused" not in str(program) and unused.dtype == "f32"

    @program.function(x=ops.f32("T", 3))
    def twice(x):
        return ops.linear(x, used) + ops.linear(x, used)

    assert str(program).count("moe.parameter") == str(program).count("moe.load_parameter") == 1
    assert 'moe.parameter @used : tensor<2x3xf32> from "used"' in str(program)


def test_bf16():
    """Rounding is to nearest, ties to even."""
    values = [1, 1 + 2**-9, 1 + 2**-8, 1 + 3 * 2**-8, np.inf, np.nan, -3e38]
    array = ops.Program().weight("w", values, "bf16").array
    np.testing.assert_array_equal(array, np.array([1, 1, 1, 1 + 2**-6, np.inf, np.nan, array[-1]], np.float32))
    assert abs(array[-1] / -3e38 - 1) <= 2**-9


REFUSED = {
    "shape": (
        lambda s, rows, **_: s + rows,
        "add: expected shapes that broadcast, got [T, 16] and [N, 96]",
    ),
    "dtype": (
        lambda s, i, **_: s * i,
        "multiply: expected tensors of one dtype, f32 or i32, got f32 and i32",
    ),
    "number": (
        lambda i, **_: i + 0.5,
        "add: expected a tensor or a number of type i32, got 0.5",
    ),
    "array": (
        lambda x, **_: x * np.ones(160),
        "multiply: b: expected a tensor, got ndarray: Program.weight or constant makes a tensor of it",
    ),
    "condition": (
        lambda x, **_: 0 if x > 0 else 1,
        "expected a condition that does not depend on a tensor: use where",
    ),
    "axis": (
        lambda x, **_: ops.sum(x, 2),
        "sum: axis: expected one of 2 axes, got 2",
    ),
    "slice of tokens": (
        lambda x, **_: x[:3],
        "index: expected the whole axis, got slice(None, 3, None)",
    ),
    "column": (
        lambda x, **_: x[:, 160],
        "index: expected a number below 160 or a slice that has one, got 160",
    ),
    "empty slice": (
        lambda x, **_: x[:, 160:],
        "index: expected a number below 160 or a slice that has one, got slice(160, None, None)",
    ),
    "reshape": (
        lambda x, **_: x.reshape(-1, 7),
        "reshape: expected a shape with as many elements as [T, 160], got [-1, 7]",
    ),
    "concatenate": (
        lambda x, i, **_: ops.concatenate([x, i], 1),
        "concatenate: 1: expected f32 [T, a number], got i32 [T, 4]",
    ),
    "linear": (
        lambda x, w, **_: ops.linear(x, w),
        "grouped_matmul: weights: expected f32 or bf16 [out, 160], got bf16 [16, 96, 160]",
    ),
    "dynamic weight": (
        lambda x, **_: ops.linear(x, x),
        "grouped_matmul: out: expected an extent that is a number, got T",
    ),
    "score": (
        lambda s, **_: ops.score(s, "cube"),
        "score: fn: expected softmax or sigmoid or sqrtsoftplus or relu, got cube",
    ),
    "select": (
        lambda s, **_: ops.select(s, 17),
        "select: k: expected 1 to 16, got 17",
    ),
    "bias": (
        lambda s, counts, **_: ops.select(s, 4, bias=counts),
        "select: bias: expected f32 or bf16 [16], got i32 [16]",
    ),
    "groups": (
        lambda s, **_: ops.select(s, 4, groups=ops.Groups(3, keep=1)),
        "select: groups: expected a divisor of 16, got 3",
    ),
    "kept groups": (
        lambda s, **_: ops.select(s, 4, groups=ops.Groups(8, keep=1)),
        "select: k: expected at most the 2 experts of the kept groups, got 4",
    ),
    "weigh": (
        lambda rows, i, **_: ops.weigh(rows, i),
        "weigh: indices: expected i32 [N, k], got i32 [T, 4]",
    ),
    "plus": (
        lambda s, i, **_: ops.weigh(s, i, plus=1e-20),
        "weigh: norm: expected sum or l2 beside plus and at_least, got None",
    ),
    "capacity": (
        lambda i, **_: ops.limit(i, 16, 0),
        "limit: capacity: expected at least 1, got 0",
    ),
    "combine": (
        lambda x, i, p, **_: ops.combine(x, i, p),
        "combine: ys: expected f32 [T*4, H], got f32 [T, 160]",
    ),
    "dispatch": (
        lambda x, i, **_: ops.dispatch(x, ops.assign(i, 16)[1], 3),
        "dispatch: perm: expected i32 [T*3], got i32 [T*4]",
    ),
    "segments": (
        lambda rows, offsets, **_: ops.experts(rows, offsets, [15], [lambda rows, e: rows]),
        "experts: segments: expected 16 experts, got [15], which are 15",
    ),
    "segments of several widths": (
        lambda rows, offsets, **_: ops.experts(
            rows, offsets, [8, 8], [lambda rows, e: rows, lambda rows, e: rows[:, 1:]]
        ),
        "experts: segment 1: expected f32 [rows of %ys in segment 1, 96], got f32 [rows of %ys in segment 1, 95]",
    ),
    "offsets": (
        lambda rows, bias, counts, **_: ops.group_add(rows, bias, counts),
        "group_add: offsets: expected i32 [17], got i32 [16]",
    ),
    "situ": (
        lambda rows, **_: ops.glu(rows, rows, "situ", alpha=2.0),
        "glu: alpha, beta: expected both for situ, got 2.0, None",
    ),
    "glu": (
        lambda rows, **_: ops.glu(rows, rows, post=True),
        "glu: post: expected a limit, got none",
    ),
    "glu: kind": (
        lambda rows, **_: ops.glu(rows, kind="swiglu"),
        "glu: kind: expected silu or gelu or gelu_tanh or relu or relu2, got swiglu",
    ),
    "glu: offset": (
        lambda rows, **_: ops.glu(rows, kind="relu", offset=1),
        "glu: offset: expected none for relu, got 1",
    ),
    "noise": (
        lambda counts, s, **_: ops.noise("normal", counts, s),
        "noise: seed: expected i32 [2], got i32 [16]",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    build, message = REFUSED[name]
    with pytest.raises(moec.Error) as error:
        trace(build)
    assert str(error.value) == message


def test_refused_results():
    program = ops.Program()
    with pytest.raises(moec.Error, match=r"^flat: result 0: expected extents .*, got \[T\*4\]$"):

        @program.function(x=ops.f32("T", 4))
        def flat(x):
            return x.reshape(-1)


def test_refused_scope():
    """What belongs to one function or region stays there."""
    program, kept = ops.Program(), []

    @program.function(x=ops.f32("T", 4))
    def first(x):
        kept.append(x)
        return x

    with pytest.raises(moec.Error, match="^add: a: expected a tensor of this function"):

        @program.function(x=ops.f32("T", 4))
        def second(x):
            return kept[0] + x

    with pytest.raises(moec.Error, match="^expected an operation inside a function of a Program, got one outside$"):
        kept[0] + 1


def test_refused_function():
    """What a function that is refused would have read is not declared."""
    program = ops.Program()
    weight = program.weight("w", np.ones((5, 4)))
    with pytest.raises(moec.Error, match="^add: expected shapes that broadcast"):

        @program.function(x=ops.f32("T", 4))
        def wrong(x):
            return ops.linear(x, weight) + x

    assert str(program) == "module {\n\n}\n"


def test_refused_names():
    program = ops.Program()
    program.weight("w", [1.0])

    def w(x):
        return x

    with pytest.raises(moec.Error, match="^expected a new name of letters, digits, _ and ., got 'w'$"):
        program.function(x=ops.f32("T"))(w)
    for name in ("w", "", "a b", "3"):
        with pytest.raises(moec.Error, match="^expected a new name"):
            program.weight(name, [1.0])
    with pytest.raises(moec.Error, match="^weight: v: expected numbers, got bool"):
        program.weight("v", [True])
    with pytest.raises(moec.Error, match="^x: expected extents that are names or positive numbers, got 0$"):
        program.function(x=ops.f32("T", 0))
