"""Error bounds of the kernels' own functions, against the 64-bit mantissa of long double."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autodiff.ops  # noqa: F401
from autodiff.op import OPS

core = pytest.importorskip("autodiff._core")

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="long double is no better than double here"
)

N = 20_000
Long = np.longdouble


@pytest.fixture(params=core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = core.isa()
    core.use_isa(request.param)
    yield request.param
    core.use_isa(before)


def all_sizes(
    rng: np.random.Generator, low: int = -1074, high: int = 1023, signs: bool = True
) -> np.ndarray:
    """Numbers whose exponents are spread evenly, denormal ones among them."""
    x = np.ldexp(rng.uniform(1.0, 2.0, N), rng.integers(low, high, N, endpoint=True))
    return x * rng.choice([-1.0, 1.0], N) if signs else x


def near_multiples_of_half_pi(rng: np.random.Generator) -> np.ndarray:
    """Where sine or cosine is nearly 0 and the reduction cancels most."""
    half_pi = np.array(np.pi / 2) + Long("6.123233995736766035868820147291983e-17")
    return (rng.integers(-20_000, 20_000, N) * half_pi).astype(np.float64)


def sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, Long(1), e) / (1 + e)


def softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# name: the function in long double, its bound in ulp (docs/numerics.md), and where it is tried.
# Results below the normal range are rounded to multiples of 5e-324, which ulps count too.
CASES: dict[str, tuple[Callable[[Any], Any], float, Callable[[Any], list[np.ndarray]]]] = {
    "exp": (np.exp, 1.0, lambda r: [r.uniform(-746, 709.7, N), all_sizes(r, -1074, 9)]),
    "expm1": (np.expm1, 1.75, lambda r: [r.uniform(-40, 709.7, N), r.uniform(-1.5, 1.5, N),
                                        all_sizes(r, -1074, 9)]),
    "tanh": (np.tanh, 2.5, lambda r: [r.uniform(-22, 22, N), r.uniform(-1, 1, N),
                                      all_sizes(r)]),
    "sigmoid": (sigmoid, 2.25, lambda r: [r.uniform(-746, 40, N), r.uniform(-1, 1, N),
                                          all_sizes(r)]),
    "softplus": (softplus, 2.0, lambda r: [r.uniform(-746, 40, N), r.uniform(-2, 2, N),
                                           all_sizes(r)]),
    "log": (np.log, 1.0, lambda r: [r.uniform(0.5, 2, N), r.uniform(0.99, 1.01, N),
                                    all_sizes(r, signs=False)]),
    "log1p": (np.log1p, 1.0, lambda r: [r.uniform(-1 + 1e-12, 3, N), r.uniform(-0.35, 0.5, N),
                                        all_sizes(r, -1074, -1), all_sizes(r, signs=False)]),
    "sin": (np.sin, 1.0, lambda r: [r.uniform(-10, 10, N), r.uniform(-4e4, 4e4, N),
                                    all_sizes(r, -1074, 40), near_multiples_of_half_pi(r)]),
    "cos": (np.cos, 1.0, lambda r: [r.uniform(-10, 10, N), r.uniform(-4e4, 4e4, N),
                                    all_sizes(r, -1074, 40), near_multiples_of_half_pi(r)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_ulps(name: str, isa: str, rng: np.random.Generator) -> None:
    function, bound, draw = CASES[name]
    for x in draw(rng):
        z = core.forward(OPS[name].bind(), (x,))
        with np.errstate(all="ignore"):
            exact = function(x.astype(Long))
            nearest = exact.astype(np.float64)
        finite = np.isfinite(nearest)
        np.testing.assert_array_equal(z[~finite], nearest[~finite])
        error = np.abs(z.astype(Long) - exact)[finite] / np.spacing(np.abs(nearest[finite]))
        worst = error.argmax()
        assert error[worst] <= bound, (
            f"{name}({x[finite][worst]!r}) is {float(error[worst])} ulp off"
        )


@pytest.mark.parametrize("name", CASES)
def test_same_bits_on_every_instruction_set(name: str, rng: np.random.Generator) -> None:
    before = core.isa()
    for x in CASES[name][2](rng):
        found = set()
        for isa in core.isas():
            core.use_isa(isa)
            found.add(core.forward(OPS[name].bind(), (x,)).tobytes())
        core.use_isa(before)
        assert len(found) == 1


def test_exp_of_log_and_back(isa: str) -> None:
    """Exact where it can be seen without an oracle."""
    k = np.arange(-1022.0, 1024.0)
    np.testing.assert_array_equal(core.forward(OPS["exp"].bind(), (np.zeros(3),)), 1.0)
    np.testing.assert_array_equal(core.forward(OPS["log"].bind(), (np.ones(3),)), 0.0)
    logs = core.forward(OPS["log"].bind(), (np.exp2(k),))
    np.testing.assert_array_equal(logs, (np.log(Long(2)) * k).astype(np.float64))
