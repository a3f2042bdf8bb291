"""Trigonometric and hyperbolic functions, logarithms, lengths: NumPy's values, slopes at edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numerics import assert_ulps

import autodiff
from autodiff import Tensor

INF, NAN, PI = math.inf, math.nan, math.pi
EDGES = np.array([0.0, 0.5, 1.0, 3.0, 1e300, 5e-324, INF])
EDGES = np.concatenate([EDGES, -EDGES, [NAN]])

UNARY = {
    np.tan: lambda x: 1.0 / np.cos(x) ** 2,
    np.arcsin: lambda x: 1.0 / np.sqrt(1.0 - x * x),
    np.arccos: lambda x: -1.0 / np.sqrt(1.0 - x * x),
    np.arctan: lambda x: 1.0 / (1.0 + x * x),
    np.sinh: np.cosh,
    np.cosh: np.sinh,
    np.arcsinh: lambda x: 1.0 / np.hypot(1.0, x),
    np.arccosh: lambda x: 1.0 / np.sqrt(x - 1.0) / np.sqrt(x + 1.0),
    np.arctanh: lambda x: 1.0 / (1.0 - x * x),
    np.exp2: lambda x: np.log(2.0) * np.exp2(x),
    np.log2: lambda x: 1.0 / (np.log(2.0) * x),
    np.log10: lambda x: 1.0 / (np.log(10.0) * x),
    np.cbrt: lambda x: 1.0 / (3.0 * np.cbrt(x) ** 2),
    np.deg2rad: lambda x: np.full_like(x, PI / 180.0),
    np.rad2deg: lambda x: np.full_like(x, 180.0 / PI),
}
BINARY = [np.arctan2, np.hypot, np.logaddexp, np.logaddexp2]
of_one = pytest.mark.parametrize("function", UNARY, ids=lambda f: f.__name__)
of_two = pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)


def value_and_slope(function: Any, x: Any) -> tuple[np.ndarray, np.ndarray]:
    node = Tensor(x)
    z = function(node)
    z.backward(np.ones(z.shape))
    return z.value, node.gradient


def compiled_value_and_slope(function: Any, x: Any) -> tuple[np.ndarray, np.ndarray]:
    def step(a: Any) -> Any:
        return value_and_slope(function, a)

    return autodiff.compile(step)(np.array(x))


@pytest.fixture(params=["eager", "compiled step"])
def evaluate(request: Any, backend: Any) -> Any:
    return value_and_slope if request.param == "eager" else compiled_value_and_slope


@of_one
def test_values_and_slopes_at_the_edges(function: Any, evaluate: Any) -> None:
    x = EDGES
    if function is np.tan:  # beyond, its slope is that of the angle's last digits
        x = x[~(np.abs(x) > 1e4)]
    with np.errstate(all="ignore"):
        expected, slope = function(x), UNARY[function](x)
    z, gx = evaluate(function, x)
    assert_ulps(z, expected, 4)
    zeros = expected == 0.0
    np.testing.assert_array_equal(np.signbit(z[zeros]), np.signbit(expected[zeros]))
    np.testing.assert_allclose(gx, slope, rtol=4e-15)


@of_two
def test_two_operands_at_the_edges(function: Any, backend: Any) -> None:
    x, y = map(np.ravel, np.meshgrid(EDGES, EDGES))
    with np.errstate(all="ignore"):
        expected = function(x, y)
    for z in (
        function(Tensor(x), Tensor(y)).value,
        function(Tensor(x), y).value,
        autodiff.compile(lambda a, b: function(a, b))(x, y),
    ):
        assert_ulps(z, expected, 4)
        zeros = expected == 0.0
        np.testing.assert_array_equal(np.signbit(z[zeros]), np.signbit(expected[zeros]))


@of_two
def test_operands_broadcast_lie_anyhow_and_may_be_empty(function: Any, backend: Any) -> None:
    x = np.linspace(0.1, 3.0, 24).reshape(4, 6)
    for a, b in ((x[::2, ::-1], x[0].copy()), (x.T, 0.5), (x[:0], x[:1]), (x[:, :0], x[:, :1])):
        np.testing.assert_allclose(function(Tensor(a), Tensor(b)).value, function(a, b), rtol=1e-14)


def test_exact_where_the_result_is_a_number(backend: Any) -> None:
    k = np.arange(-1074.0, 1024.0)
    np.testing.assert_array_equal(autodiff.exp2(Tensor(k)).value, np.ldexp(1.0, k.astype(int)))
    np.testing.assert_array_equal(autodiff.log2(Tensor(np.ldexp(1.0, k.astype(int)))).value, k)
    k = np.arange(-300, 300)
    ten = np.array([float(f"1e{n}") for n in k])
    np.testing.assert_array_equal(autodiff.log10(Tensor(ten[k >= 0])).value, k[k >= 0])
    k = np.arange(-500.0, 500.0)
    np.testing.assert_array_equal(autodiff.cbrt(Tensor(k * k * k)).value, k)
    np.testing.assert_array_equal(autodiff.sinc(Tensor(k)).value, k == 0.0)


# ---- sinc: its singularity is none --------------------------------------------------------


def derivatives(function: Any, x: Any, n: int) -> list[np.ndarray]:
    """The value and n derivatives, on nodes."""
    node = Tensor(x)
    found = [function(node)]
    for _ in range(n):
        found += autodiff.gradients(found[-1].sum(), [node])
    return [np.asarray(z.forward()) for z in found]


def test_all_derivatives_of_sinc_at_zero(backend: Any) -> None:
    # sinc x = sum over k of (-1)^k (pi x)^2k / (2k + 1)!
    for x in (0.0, -0.0, 1e-300, 1e-12):
        found = derivatives(np.sinc, [x], 6)
        expected = [1.0, -(PI**2) / 3 * x, -(PI**2) / 3, PI**4 / 5 * x, PI**4 / 5]
        expected += [-(PI**6) / 7 * x, -(PI**6) / 7]
        for z, e in zip(found, expected, strict=True):
            np.testing.assert_allclose(z, e, rtol=1e-14)


def test_derivatives_of_sinc_have_no_seam(backend: Any) -> None:
    """Against the series, summed in extended precision, on both sides of where formulas change."""
    x = np.concatenate([np.linspace(-2.2, 2.2, 97), [2 / PI, 3 / PI, np.nextafter(2 / PI, 1)]])
    t = np.asarray(x, np.longdouble)
    pi = np.longdouble("3.14159265358979323846264338327950288")
    for n, z in enumerate(derivatives(np.sinc, x, 3)):
        exact = np.zeros_like(t)
        for k in range((n + 1) // 2, 40):
            factor = np.longdouble((-1) ** k)
            for j in range(1, 2 * k + 2):  # pi^2k / (2k + 1)!, and the derivative of t^2k
                factor = factor / j * (pi if j <= 2 * k else 1)
            exact = exact + factor * math.perm(2 * k, n) * t ** (2 * k - n)
        tolerance = 4e-15 if np.finfo(np.longdouble).nmant >= 63 else 1e-11
        np.testing.assert_allclose(z, exact.astype(float), rtol=0, atol=tolerance * PI**n)


def test_derivatives_of_sinc_far_out(backend: Any) -> None:
    x = np.array([1e3 + 0.25, -1e5 - 0.5, 12345.0])
    _, first, second = derivatives(np.sinc, x, 2)
    sine, cosine = np.array([[np.sqrt(0.5), -1.0, 0.0], [np.sqrt(0.5), 0.0, -1.0]])
    expected = (cosine - sine / (PI * x)) / x
    np.testing.assert_allclose(first, expected, rtol=1e-13)
    np.testing.assert_allclose(second, -(PI**2) * sine / (PI * x) - 2 * expected / x, rtol=1e-11)
    step = autodiff.compile(lambda a: derivatives_in_step(a))
    np.testing.assert_array_equal(step(x), second)


def derivatives_in_step(a: Any) -> Any:
    x = Tensor(a)
    (first,) = autodiff.gradients(autodiff.sinc(x).sum(), [x])
    (second,) = autodiff.gradients(first.sum(), [x])
    return second.value


# ---- where there is no slope ---------------------------------------------------------------


def slopes_of_two(function: Any, x: float, y: float, order: int = 1) -> list[float]:
    a, b = Tensor(x), Tensor(y)
    firsts = autodiff.gradients(function(a, b), [a, b])
    if order == 2:
        firsts = autodiff.gradients(firsts[0] + firsts[1], [a, b])
    return [float(g.forward()) for g in firsts]


def test_hypot_has_slope_zero_at_the_origin(backend: Any) -> None:
    for zero in (0.0, -0.0):
        assert slopes_of_two(np.hypot, zero, 0.0) == [0.0, 0.0]
        assert slopes_of_two(np.hypot, zero, 0.0, 2) == [0.0, 0.0]
    assert slopes_of_two(np.hypot, 3e300, 4e300) == pytest.approx([0.6, 0.8])
    assert slopes_of_two(np.hypot, 3e-320, 4e-320) == pytest.approx([0.6, 0.8], rel=1e-3)
    assert slopes_of_two(np.hypot, 0.0, -2.0) == [0.0, -1.0]


def test_arctan2_in_all_quadrants_and_at_the_origin(backend: Any) -> None:
    for y, x in ((1.0, 2.0), (1.0, -2.0), (-1.0, -2.0), (-1.0, 2.0)):
        assert slopes_of_two(np.arctan2, y, x) == pytest.approx([x / 5.0, -y / 5.0])
    assert slopes_of_two(np.arctan2, 0.0, -2.0) == [-0.5, 0.0]
    assert slopes_of_two(np.arctan2, 1e-200, 1e-200) == pytest.approx([5e199, -5e199])
    assert np.isnan(slopes_of_two(np.arctan2, 0.0, 0.0)).all()


@pytest.mark.parametrize("function", [np.logaddexp, np.logaddexp2], ids=lambda f: f.__name__)
def test_shares_of_a_sum_of_exponentials(function: Any, backend: Any) -> None:
    assert slopes_of_two(function, 5.0, 5.0) == [0.5, 0.5]
    for same in (INF, -INF):  # one half each, as between equal numbers
        assert slopes_of_two(function, same, same) == [0.5, 0.5]
    assert slopes_of_two(function, -INF, 3.0) == [0.0, 1.0]
    assert slopes_of_two(function, 2000.0, -2000.0) == [1.0, 0.0]
    first, second = slopes_of_two(function, -50.0, 0.0)
    base = math.e if function is np.logaddexp else 2.0
    assert first == pytest.approx(base**-50.0, rel=1e-13)
    assert second == pytest.approx(1.0)
    assert np.isnan(slopes_of_two(function, NAN, 0.0)).all()


def test_the_slopes_of_logaddexp_change_with_both(backend: Any) -> None:
    a, b = Tensor(1.0), Tensor(1.5)
    (first,) = autodiff.gradients(autodiff.logaddexp(a, b), [a])
    to_a, to_b = autodiff.gradients(first, [a, b])
    share = 1.0 / (1.0 + math.exp(0.5))
    assert float(to_a.forward()) == pytest.approx(share * (1.0 - share), rel=1e-14)
    assert float(to_b.forward()) == pytest.approx(-share * (1.0 - share), rel=1e-14)


def test_units_of_angles(backend: Any) -> None:
    x = Tensor([180.0, 90.0])
    for function in (np.deg2rad, np.radians):
        np.testing.assert_array_equal(function(x).value, [PI, PI / 2])
    for function in (np.rad2deg, np.degrees):
        np.testing.assert_array_equal(function(Tensor([PI, PI / 2])).value, [180.0, 90.0])
