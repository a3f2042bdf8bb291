"""Differences, slopes, integrals, interpolation, convolutions and polynomials of nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from smooth import assert_alike, check

import autodiff
from autodiff import Tensor
from autodiff.errors import ShapeError

V = np.array([0.5, -1.25, 2.0, 0.75, 1.5])
M = np.array([[0.5, -1.25, 2.0, 0.75], [1.5, 0.25, -0.5, 3.0], [-2.0, 1.0, 0.125, -0.75]])
C = np.arange(24.0).reshape(2, 3, 4) ** 1.5 / 10.0
PLACES = np.array([0.0, 1.0, 3.0, 4.0, 7.0])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_differences(n: int, axis: int) -> None:
    check("numpy.diff", lambda f, x: f(x, n=n, axis=axis), [M])


def test_differences_with_something_before_and_behind() -> None:
    check("numpy.diff", lambda f, x, y: f(x, prepend=y), [V, V[:2]])
    check("numpy.diff", lambda f, x: f(x, prepend=0.0, append=1.0), [M])
    check("numpy.diff", lambda f, x, y: f(x, 2, 0, append=y), [M, M[:2] ** 2])
    for n in (-1, 1.0, None):
        with pytest.raises(ShapeError, match="diff: n is a whole number from 0"):
            np.diff(Tensor(V), n)


@pytest.mark.parametrize("edge_order", [1, 2])
def test_slopes(edge_order: int) -> None:
    def along(*more: Any, **options: Any) -> Any:
        return lambda f, x: f(x, *more, edge_order=edge_order, **options)

    check("numpy.gradient", along(), [V])
    check("numpy.gradient", along(), [M])
    check("numpy.gradient", along(0.5), [M])
    check("numpy.gradient", along(0.5, PLACES[:4]), [M])
    check("numpy.gradient", along(PLACES), [V])
    check("numpy.gradient", along(axis=(1, 2)), [C])
    check("numpy.gradient", along(2.0, axis=-1), [C])
    assert_alike("numpy.gradient", along(), [V[:3]])
    t = Tensor(V)
    with pytest.raises(ShapeError, match=f"it needs {edge_order + 1} samples"):
        np.gradient(t[:edge_order], edge_order=edge_order)
    for more in ((1.0, 2.0), (np.ones(3),), (np.ones((5, 5)),)):
        with pytest.raises(ShapeError, match="gradient: "):
            np.gradient(t, *more)


def test_slopes_over_places_that_are_nodes() -> None:
    check("numpy.gradient", lambda f, x, p: f(x, p), [V, PLACES])


def test_integrals() -> None:
    check("numpy.trapezoid", lambda f, y: f(y), [V])
    check("numpy.trapezoid", lambda f, y: f(y, dx=0.25, axis=0), [M])
    check("numpy.trapezoid", lambda f, y, x: f(y, x), [V, PLACES])
    check("numpy.trapezoid", lambda f, y, x: f(y, x, axis=0), [M, PLACES[:3]])
    check("numpy.trapezoid", lambda f, y, x: f(y, x), [M, np.cumsum(np.abs(M), axis=1)])
    assert_alike("numpy.trapezoid", lambda f, y: f(y), [V[:1]])


# ---- interpolation --------------------------------------------------------------------

XP, FP = np.array([0.0, 1.0, 2.5, 4.0]), np.array([1.0, -1.0, 3.0, 2.0])
BETWEEN = np.array([[-1.0, 0.25, 0.5], [1.75, 3.9, 5.0]])


def test_interpolation() -> None:
    check("numpy.interp", lambda f, x, fp: f(x, XP, fp), [BETWEEN, FP])
    check("numpy.interp", lambda f, x, xp, fp: f(x, xp, fp), [BETWEEN, XP, FP])
    check("numpy.interp", lambda f, x, fp: f(x, XP, fp, left=-7.0, right=9.0), [BETWEEN, FP])
    check("numpy.interp", lambda f, x, fp: f(x, XP, fp), [np.array(1.5), FP])
    at = np.array([0.0, 1.0, 2.5, 4.0, np.nan, np.inf, -np.inf])
    for fp in (FP, FP[:1]):
        at = at if len(fp) > 1 else at[:4]
        assert_alike("numpy.interp", lambda f, x, fp: f(x, XP[: fp.size], fp), [at, fp])


def test_the_slope_of_an_interpolation() -> None:
    x, fp = Tensor(np.array([-1.0, 0.0, 1.0, 2.0, 4.0, 5.0])), Tensor(FP)
    gx, gf = autodiff.gradients(np.interp(x, XP, fp).sum(), [x, fp])
    third = 8.0 / 3.0  # of the piece from 1 to 2.5; at places of XP that of the piece on the right
    np.testing.assert_allclose(gx.value, [0.0, -2.0, third, third, -2.0 / 3.0, 0.0], rtol=1e-15)
    np.testing.assert_allclose(gf.value, [2.0, 1.0 + 1.0 / 3.0, 2.0 / 3.0, 2.0], rtol=1e-15)


def test_a_compiled_step_interpolates_what_it_is_given() -> None:
    step = autodiff.compile(lambda x: np.interp(x, XP, FP))
    for x in (BETWEEN, BETWEEN + 1.25, -BETWEEN):
        np.testing.assert_allclose(step(x), np.interp(x, XP, FP), rtol=1e-15, atol=1e-15)


def test_periodic_interpolation() -> None:
    places = np.array([190.0, -190.0, 350.0, -350.0])  # in no order
    at = np.array([-180.0, -170.0, -185.0, 185.0, -10.0, -5.0, 3.0, 365.0, 800.0])
    check("numpy.interp", lambda f, x, fp: f(x, places, fp, period=360.0), [at, FP])
    for period, message in ((0.0, "must not be 0"), (Tensor(360.0), "must be numbers")):
        with pytest.raises(ShapeError, match=message):
            np.interp(Tensor(at), places, FP, period=period)


def test_interpolations_that_are_refused() -> None:
    x = Tensor(BETWEEN)
    for xp, fp in ((XP, FP[:3]), (XP[:0], FP[:0]), (XP[None], FP[None])):
        with pytest.raises(ShapeError, match=r"interp: xp has shape"):
            np.interp(x, xp, fp)


# ---- convolutions and polynomials -----------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize(
    ("n", "m"), [(5, 3), (5, 2), (5, 1), (5, 5), (2, 5), (3, 5), (1, 1), (5, 4)]
)
def test_convolutions(name: str, mode: str, n: int, m: int) -> None:
    check(f"numpy.{name}", lambda f, a, v: f(a, v, mode), [V[:n], V[::-1][:m] ** 2])


def test_convolutions_that_are_refused() -> None:
    v = Tensor(V)
    for a, b, mode, message in (
        (v, np.ones((2, 2)), "full", r"both must be \(n,\)"), (v, np.zeros(0), "full", "n > 0"),
        (v, V, "valud", "mode 'valud' is none of valid, same, full"),
    ):  # fmt: skip
        with pytest.raises(ShapeError, match=message):
            np.convolve(a, b, mode)


def test_polynomials() -> None:
    check("numpy.polyval", lambda f, p, x: f(p, x), [V[:3], M])
    check("numpy.polyval", lambda f, x: f([1.0, -2.0, 3.0], x), [V])
    for increasing in (False, True):
        for n in (2, 4, None):
            check("numpy.vander", lambda f, x, n=n, i=increasing: f(x, n, i), [V])
        assert_alike("numpy.vander", lambda f, x, i=increasing: f(x, 1, i), [V])
    with pytest.raises(ShapeError, match="vander: x has shape"):
        np.vander(Tensor(M))
    with pytest.raises(ShapeError, match="vander: N is"):
        np.vander(Tensor(V), -1)
