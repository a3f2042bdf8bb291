"""Variances, averages, tests of all elements, and what leaves NaN out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from smooth import assert_alike, check

import autodiff
from autodiff import Tensor
from autodiff.errors import ShapeError
from autodiff.program.recorded import NoNumbersError

X = np.array([[0.5, -1.25, 2.0, 0.75], [1.5, 0.25, -0.5, 3.0], [-2.0, 1.0, 0.125, -0.75]])
Y = np.array([2.5, -1.0, 0.25, 4.0])
HOLES = np.where(np.abs(X) == 0.5, np.nan, X)
AXES = [None, 0, 1, -1, (0,), (0, 1), (-1, -2)]
INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["var", "std"])
def test_variances(name: str, axis: Any) -> None:
    for ddof in (0, 1, 1.5):
        for keepdims in (False, True):
            check(
                f"numpy.{name}",
                lambda f, x, d=ddof, k=keepdims: f(x, axis=axis, ddof=d, keepdims=k),
                [X],
            )


@pytest.mark.parametrize("name", ["var", "std"])
def test_variances_by_numpys_other_options(name: str) -> None:
    check(f"numpy.{name}", lambda f, x: f(x, axis=0, correction=1), [X])
    check(f"numpy.{name}", lambda f, x: f(x, axis=0, mean=x.mean(axis=0, keepdims=True)), [X])
    for call in (lambda f, x: f(x, ddof=4), lambda f, x: f(x, ddof=9), lambda f, x: f(x[:1])):
        assert_alike(f"numpy.{name}", call, [Y])
    for special in ([1.0, INF], [1.0, NAN], [2.0, 2.0, 2.0], [-INF, INF]):
        assert_alike(f"numpy.{name}", lambda f, x: f(x), [np.array(special)])
    with pytest.raises(ShapeError, match="ddof and correction"):
        getattr(np, name)(Tensor(Y), ddof=1, correction=1)
    with pytest.raises(ShapeError, match="nothing to reduce"):
        getattr(np, name)(Tensor(np.zeros((0, 3))), axis=0)
    with pytest.raises(TypeError, match="where="):
        getattr(np, name)(Tensor(X), where=X > 0.0)


def test_variances_do_not_cancel() -> None:
    far = 1e9 + X
    np.testing.assert_allclose(np.var(Tensor(far)).value, np.var(far - 1e9), rtol=1e-13)
    (g,) = autodiff.gradients(np.var(t := Tensor(far)), [t])
    exact = far - 1e9  # its numbers are binary fractions
    np.testing.assert_allclose(g.value, 2.0 * (exact - exact.mean()) / 12.0, rtol=1e-13, atol=1e-16)


def test_the_gradient_of_a_deviation_that_is_0_is_0() -> None:
    x = np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    for function in (np.std, np.nanstd):
        t = Tensor(x)
        (g,) = autodiff.gradients(function(t, axis=1).sum(), [t])
        root = 1.0 / np.sqrt(6.0)
        np.testing.assert_allclose(g.value, [[0] * 3, [-root, 0.0, root], [0] * 3], atol=1e-16)
        (second,) = autodiff.gradients((g * g).sum(), [t])
        assert np.isfinite(second.value).all()
        assert not second.value[::2].any()
    t = Tensor(x)
    step = autodiff.compile(lambda: autodiff.gradients(np.std(t, axis=1).sum(), [t])[0])
    np.testing.assert_allclose(step(), g.value, atol=1e-16)


def test_averages() -> None:
    w = np.abs(X)
    check("numpy.average", lambda f, x, w: f(x, weights=w), [X, w])
    check("numpy.average", lambda f, x, w: f(x, axis=0, weights=w), [X, w])
    check("numpy.average", lambda f, x, w: f(x, axis=1, weights=w, keepdims=True), [X, np.abs(Y)])
    check("numpy.average", lambda f, x: f(x, axis=1), [X])
    check("numpy.average", lambda f, x, w: f(x, 1, w, returned=True), [X, np.abs(Y)])
    assert_alike("numpy.average", lambda f, x: f(x, axis=0, returned=True), [X])
    cube = np.arange(24.0).reshape(2, 3, 4)
    for axis, shape in (((0, 2), (2, 4)), ((2, 0), (4, 2))):
        weights = 1.0 + np.arange(8.0).reshape(shape)
        assert_alike("numpy.average", lambda f, x, w, a=axis: f(x, a, w), [cube, weights])
    with pytest.raises(ZeroDivisionError, match="weights sum to zero"):
        np.average(Tensor(Y), weights=[1.0, -1.0, 0.0, 0.0])
    with pytest.raises(ShapeError, match=r"average: weights have shape \(3,\)"):
        np.average(Tensor(X), axis=1, weights=[1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match="average: weights have shape"):
        np.average(Tensor(X), weights=[1.0, 2.0, 3.0])


@pytest.mark.parametrize("axis", AXES)
def test_ranges(axis: Any) -> None:
    check("numpy.ptp", lambda f, x: f(x, axis=axis), [X])


@pytest.mark.parametrize("rowvar", [True, False])
def test_covariances(rowvar: bool) -> None:
    for name in ("cov", "corrcoef"):
        check(f"numpy.{name}", lambda f, x: f(x, rowvar=rowvar), [X])
        check(f"numpy.{name}", lambda f, y, z: f(y, z), [Y, Y[::-1] ** 2])
    check("numpy.cov", lambda f, y: f(y), [Y])
    assert_alike("numpy.corrcoef", lambda f, y: f(y), [Y])
    for options in ({"bias": True}, {"ddof": 0}, {"ddof": 2}):
        check("numpy.cov", lambda f, x, o=options: f(x, rowvar=rowvar, **o), [X])
    weights = np.arange(1, 5) if rowvar else np.arange(1, 4)
    for options in ({"fweights": weights}, {"aweights": weights / 2.0},
                    {"fweights": weights, "aweights": weights / 3.0, "bias": True}):  # fmt: skip
        check("numpy.cov", lambda f, x, o=options: f(x, rowvar=rowvar, **o), [X])


# ---- tests of all elements ------------------------------------------------------------

TRUTHS = [np.zeros(3), np.ones(3), np.array([0.0, NAN, 1.0]), np.array([[0.0, -0.0], [INF, 1.0]]),
          np.zeros((0, 3)), np.zeros((3, 0)), np.array(2.0)]  # fmt: skip


@pytest.mark.parametrize("name", ["any", "all", "count_nonzero"])
def test_tests_of_all_elements(name: str) -> None:
    for x in TRUTHS:
        for axis in (None, *range(x.ndim)):
            for keepdims in (False, True):
                assert_alike(
                    f"numpy.{name}", lambda f, x, a=axis, k=keepdims: f(x, axis=a, keepdims=k), [x]
                )


def test_tests_decide_branches_of_eager_steps_only() -> None:
    x = Tensor(X)
    assert np.any(x > 2.5)
    assert not np.all(x > 0.0)
    step = autodiff.compile(lambda: 1.0 if np.any(x > 2.5) else x.sum())
    with pytest.raises(NoNumbersError):
        step()
    compiled = autodiff.compile(lambda: autodiff.where(np.any(x > 2.5), x.sum(), x.max()))
    assert compiled() == X.sum()


def test_comparisons() -> None:
    a = np.array([1.0, INF, NAN, -INF, 1.0, 1.0, 0.0, INF])
    b = np.array([1.0 + 1e-9, INF, NAN, INF, INF, 1.1, 1e-9, 1.0])
    for equal_nan in (False, True):
        assert_alike("numpy.isclose", lambda f, a, b, e=equal_nan: f(a, b, equal_nan=e), [a, b])
    assert_alike("numpy.isclose", lambda f, a, b: f(a, b, rtol=0.2), [a, b])
    x = Tensor(X)
    assert np.allclose(x, X + 1e-12) is True
    assert np.allclose(X + 1.0, x) is False
    assert np.array_equal(x, X) is True
    assert np.array_equal(x, X.T) is False
    assert np.array_equiv(Tensor([1.0]), np.ones(3)) is True
    step = autodiff.compile(lambda: np.allclose(x, X))
    with pytest.raises(NoNumbersError):
        step()


# ---- without NaN ----------------------------------------------------------------------


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(
    "name", ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"]
)
def test_without_nan(name: str, axis: Any) -> None:
    for keepdims in (False, True):
        check(f"numpy.{name}", lambda f, x, k=keepdims: f(x, axis=axis, keepdims=k), [X])
        assert_alike(f"numpy.{name}", lambda f, x, k=keepdims: f(x, axis=axis, keepdims=k), [HOLES])
    holes = np.where([True, False, False, False], NAN, HOLES)  # a column of nothing else
    assert_alike(f"numpy.{name}", lambda f, x: f(x, axis=axis), [holes])
    t = Tensor(HOLES)
    (g,) = autodiff.gradients(getattr(np, name)(t, axis=axis).sum(), [t])
    assert np.isfinite(g.value).all()
    assert not g.value[np.isnan(HOLES)].any()


@pytest.mark.parametrize("name", ["nancumsum", "nancumprod"])
def test_running_without_nan(name: str) -> None:
    for axis in (None, 0, -1):
        check(f"numpy.{name}", lambda f, x, a=axis: f(x, axis=a), [X])
        assert_alike(f"numpy.{name}", lambda f, x, a=axis: f(x, axis=a), [HOLES])
