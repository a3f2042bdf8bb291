"""Powers whose exponent is a node or an array: NumPy's values, gradients right at the edges."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numerics import assert_ulps

import autodiff
from autodiff import Tensor
from autodiff.apply import complex_step

INF, NAN = np.inf, np.nan
EDGES = [0.0, -0.0, 5e-324, 1e-300, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0, 300.0, 1e9, 1e300, INF]
EDGES = [*EDGES, *(-x for x in EDGES[2:]), NAN]
GRID = [np.array(column) for column in zip(*itertools.product(EDGES, repeat=2), strict=True)]

WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "**": lambda x, p: x**p,
    "np.power": np.power,
    "np.float_power": np.float_power,
    "autodiff.power": autodiff.power,
    "autodiff.float_power": autodiff.float_power,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def gradients(x: Any, p: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x^p, and its gradients."""
    a, b = Tensor(x), Tensor(p)
    z = a**b
    autodiff.backward({z: np.ones(z.shape)})
    return z.value, a.gradient, b.gradient


@ways
def test_values_are_numpys(way: Callable[[Any, Any], Any], backend: Any) -> None:
    with np.errstate(all="ignore"):
        expected = np.float_power(*GRID)
    for x, p in [(Tensor, Tensor), (Tensor, np.array), (np.array, Tensor), (Tensor, list)]:
        if way is WAYS["**"] and p is list:
            continue
        assert_ulps(way(x(GRID[0]), p(GRID[1])).value, expected, 2)
    assert_ulps(autodiff.compile(way)(*GRID), expected, 2)


@ways
def test_exponents_broadcast(way: Callable[[Any, Any], Any], backend: Any) -> None:
    x, p = np.array([[2.0], [-3.0]]), np.array([0.0, 1.0, 2.0, -1.0])
    z = way(Tensor(x), p)
    np.testing.assert_allclose(z.value, x**p, rtol=1e-15)
    assert way(2.0, Tensor(3.0)).value == 8.0
    assert way(Tensor(-2.0), np.array([2.0, 3.0])).value.tolist() == [4.0, -8.0]


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is double here")
def test_large_powers_keep_their_digits(backend: Any, rng: np.random.Generator) -> None:
    # e^(p ln x) would lose p ln x times as much.
    assert abs(float((10.0 ** Tensor(300.0)).value) - 1e300) <= 1e285
    x = rng.uniform(0.1, 10.0, 20_000)
    p = rng.uniform(-300.0, 300.0, 20_000)
    exact = x.astype(np.longdouble) ** p.astype(np.longdouble)
    error = np.abs((Tensor(x) ** Tensor(p)).value - exact) / np.spacing(exact.astype(np.float64))
    assert error.max() <= 1.0


def test_gradients_at_the_edges(backend: Any) -> None:
    for x, p, gx, gp in [
        (-2.0, 3.0, 12.0, NAN),
        (-2.0, 0.0, 0.0, NAN),
        (-2.0, 1.0, 1.0, NAN),
        (0.0, 2.0, 0.0, 0.0),
        (0.0, 3.5, 0.0, 0.0),
        (-0.0, 3.0, 0.0, 0.0),
        (0.0, 1.0, 1.0, 0.0),
        (0.0, 0.5, INF, 0.0),
        (0.0, 0.0, 0.0, 0.0),
        (0.0, -1.0, -INF, -INF),
        (5e-324, 0.0, 0.0, np.log(5e-324)),
        (4.0, 0.0, 0.0, np.log(4.0)),
        (INF, 0.0, 0.0, INF),
        (INF, -1.0, 0.0, 0.0),
        (INF, 2.0, INF, INF),
        (0.5, 2000.0, 0.0, 0.0),
        (1.0, 5.0, 5.0, 0.0),
        (NAN, 0.0, 0.0, NAN),
        (2.0, -INF, NAN, 0.0),
    ]:
        _, sent_x, sent_p = gradients(x, p)
        np.testing.assert_allclose([sent_x, sent_p], [gx, gp], rtol=1e-15, err_msg=f"{x}^{p}")


def test_a_gradient_of_infinity_times_the_slope_zero(backend: Any) -> None:
    for g in (INF, NAN):
        for p in (0.0, Tensor(0.0)):
            x = Tensor([0.0, 2.0, -2.0])
            z = x**p
            autodiff.backward({z: np.full(3, g)})
            np.testing.assert_array_equal(x.gradient, 0.0)


@pytest.mark.parametrize("compiled", [False, True])
def test_second_derivatives(compiled: bool, backend: Any) -> None:
    def seconds(x: Any, p: Any) -> Any:
        x, p = Tensor(x), Tensor(p)
        z = x**p
        gx, gp = autodiff.gradients(autodiff.sum(z), [x, p])
        xx, xp = autodiff.gradients(autodiff.sum(gx), [x, p])
        px, pp = autodiff.gradients(autodiff.sum(gp), [x, p])
        return xx, xp, px, pp

    x = np.array([0.5, 2.0, 3.0, 2.0, 0.5, 3.0, 1.0])
    p = np.array([2.5, -1.5, 3.0, 0.0, 0.0, 1.0, 2.0])
    if compiled:
        found = autodiff.compile(seconds)(x, p)
    else:
        found = [node.forward() for node in seconds(x, p)]
    mixed = x ** (p - 1.0) * (1.0 + p * np.log(x))
    expected = p * (p - 1.0) * x ** (p - 2.0), mixed, mixed, x**p * np.log(x) ** 2
    for made, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(made, wanted, rtol=1e-13, atol=1e-15)


def test_second_derivatives_at_zero_and_below(backend: Any) -> None:
    x = Tensor([0.0, 0.0, 0.0, 0.0, -2.0, -2.0, -2.0])
    p = Tensor([0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 3.0])
    (gx,) = autodiff.gradients((x**p).sum(), [x])
    (xx,) = autodiff.gradients(gx.sum(), [x])
    np.testing.assert_array_equal(xx.forward(), [0.0, 0.0, 2.0, 0.0, 0.0, 0.0, -12.0])
    x, p = Tensor([0.0, 0.0]), Tensor([2.0, 3.0])
    (gp,) = autodiff.gradients((x**p).sum(), [p])
    px, pp = autodiff.gradients(gp.sum(), [x, p])
    np.testing.assert_array_equal(px.forward(), 0.0)
    np.testing.assert_array_equal(pp.forward(), 0.0)


def test_a_compiled_step_gives_values_and_gradients() -> None:
    def step(x: Any, p: Any) -> Any:
        a, b = Tensor(x), Tensor(p)
        z = a**b
        autodiff.backward(autodiff.sum(z))
        return z, a.gradient, b.gradient

    x, p = np.array([0.0, 0.0, 0.0, -2.0, 2.0, 0.5]), np.array([0.0, 1.0, 2.0, 3.0, 0.0, -3.0])
    for made, wanted in zip(autodiff.compile(step)(x, p), gradients(x, p), strict=True):
        np.testing.assert_allclose(made, wanted, rtol=1e-15)
    assert autodiff.compile(lambda x, p: x**p)(-2.0, 3.0) == -8.0


def test_a_list_of_nodes_is_no_exponent() -> None:
    p = Tensor(2.0)
    for exponent in ([p, p], (p, 1.0)):
        with pytest.raises(autodiff.errors.AutodiffError, match="list of nodes"):
            Tensor([1.0, 2.0]) ** exponent
    np.testing.assert_array_equal((Tensor([3.0, 2.0]) ** [2, 1]).value, [9.0, 2.0])


def test_numbers_as_exponents_keep_their_own_ops() -> None:
    x = Tensor([1.0, 2.0])
    assert (x**2).typename == "square"
    assert (x**3.0).typename == "power"
    assert (x ** np.float64(3.0)).typename == "power"
    assert (x ** Tensor(3.0)).typename == "float_power"


def test_complex_powers_are_exact_enough_for_a_complex_step() -> None:
    # e^(p ln x) would put rounding errors of the real part into the imaginary one.
    for x, p, slope in [(-1.01, 121.0, 121.0 * 1.01**120), (-2.0, -3.0, -3.0 / 16.0)]:
        for raised in (autodiff.power, autodiff.float_power):
            with complex_step():
                z = raised(np.array([x + 1e-30j]), p)
            np.testing.assert_allclose(z.imag / 1e-30, slope, rtol=1e-13)
            np.testing.assert_allclose(z.real, x**p, rtol=1e-13)
