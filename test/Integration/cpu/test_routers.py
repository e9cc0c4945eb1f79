# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every published router and expert body against the code or the formula that defines it."""

import pytest

import moec

pytest.importorskip("torch")
from catalogue import compile_all, errors, inputs  # noqa: E402
from routers import ROUTERS, Sizes  # noqa: E402

# Of the largest result. What programs sum has up to 40 terms, and they chain five of such sums; 4e-6 is seen where the
# exponents of Gaussians cancel, 1e-6 elsewhere.
TOLERANCE = 1e-5

every_router = pytest.mark.parametrize("name", ROUTERS)


@pytest.fixture(scope="module")
def routers(tmp_path_factory):
    """A package for each, and its weights."""
    return compile_all(Sizes(), tmp_path_factory.mktemp("routers"), isa="v3")


@every_router
@pytest.mark.parametrize("tokens", [1, 17, 64])
def test_router(routers, name, tokens):
    package, arrays = routers[name]
    assert max(errors(name, moec.load(package, threads=2), arrays, tokens)) <= TOLERANCE


@every_router
def test_no_token(routers, name):
    x, others = inputs(name, Sizes(), 0)
    y = getattr(moec.load(routers[name][0]), name)(x, *others)
    assert (y[0] if isinstance(y, tuple) else y).shape == x.shape
