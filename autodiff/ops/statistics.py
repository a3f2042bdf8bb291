"""Means, variances and their like, tests of all elements, and what leaves NaN out: NumPy's names.

Variances take the mean away first (two passes), so that nothing cancels. The gradient of a standard
deviation that is 0 is 0: it has a kink there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.array import Array, is_operand
from autodiff.declare import numpy_name
from autodiff.errors import ShapeError
from autodiff.ops.arguments import Axis, axes_of, brief, operand, over_axes, over_some
from autodiff.ops.arithmetic import divide, multiply, square, subtract
from autodiff.ops.cumulative import cumprod, cumsum
from autodiff.ops.elementwise import abs as magnitude
from autodiff.ops.elementwise import equal, greater_equal, maximum, minimum, not_equal, where
from autodiff.ops.elementwise import sqrt as square_root
from autodiff.ops.parts import concat
from autodiff.ops.products import dot, outer
from autodiff.ops.reduce import max as greatest
from autodiff.ops.reduce import mean, prod
from autodiff.ops.reduce import min as least
from autodiff.ops.reduce import sum as sum_over
from autodiff.ops.shape import reshape, transpose
from autodiff.refusal import refusal

__all__: list[str] = []


def _count(x: Any, axes: tuple[int, ...]) -> int:
    return math.prod(x.shape[i] for i in axes)


def _freedom(ddof: Any, correction: Any) -> Any:
    """How many are taken away from the number of elements; `correction` is another name."""
    if correction is None:
        return ddof
    if ddof not in (0, 0.0):
        raise refusal(ShapeError, "var, std: ddof and correction are one thing; give one of them")
    return correction


# ---- variances ------------------------------------------------------------------------


def _variance(name: str, a: Any, axis: Axis, ddof: Any, keepdims: bool, known_mean: Any) -> Any:
    (a,), attributes = over_some(name, a, axis, keepdims)
    if known_mean is None:
        known_mean = mean.normal(a, axis=attributes["axis"], keepdims=True)
    squares = sum_over.normal(square(subtract(a, known_mean)), **attributes)
    return divide(squares, max(float(_count(a, attributes["axis"]) - ddof), 0.0))


@numpy_name("numpy.var")
def var(
    a: Any,
    axis: Axis = None,
    ddof: Any = 0,
    keepdims: bool = False,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """z = Σ (a - mean a)² / (n - ddof) over `axis`."""
    return _variance("var", a, axis, _freedom(ddof, correction), keepdims, mean)


@numpy_name("numpy.std")
def std(
    a: Any,
    axis: Axis = None,
    ddof: Any = 0,
    keepdims: bool = False,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """z = √ of the variance over `axis`; where that is 0, the gradient is 0."""
    return _root(_variance("std", a, axis, _freedom(ddof, correction), keepdims, mean))


def _root(x: Any) -> Any:
    """√x, with gradient 0 at 0."""
    zero = equal(x, 0.0)
    return where(zero, 0.0, square_root(where(zero, 1.0, x)))


@numpy_name("numpy.average")
def average(
    a: Any,
    axis: Axis = None,
    weights: Any = None,
    returned: bool = False,
    keepdims: bool = False,
) -> Any:
    """z = Σ w a / Σ w over `axis`; the mean without weights.

    weights : of the shape of a, or of its axes `axis`. returned : Σ w too.
    """
    a = operand("average", a, "a")
    axes = axes_of("average", a, axis)
    if weights is None:
        z = mean(a, axes, keepdims)
        total: Any = np.full(z.shape, float(_count(a, axes)))
    else:
        w = _weights_like(a, axis, axes, operand("average", weights, "weights"))
        total = sum_over(w, axes, keepdims)
        if not is_operand(total) and not np.all(total):
            raise ZeroDivisionError("average: the weights sum to zero, so they are none")
        z = divide(sum_over(multiply(a, w), axes, keepdims), total)
    return (z, total) if returned else z


def _weights_like(a: Any, axis: Axis, axes: tuple[int, ...], weights: Any) -> Any:
    """Weights of the shape of a, or of the axes that are averaged over, repeated to it."""
    if weights.shape == a.shape:
        return weights
    items = (axis,) if isinstance(axis, int) else tuple(() if axis is None else axis)
    places = [axes_of("average", a, i)[0] for i in items]
    if axis is None or weights.shape != tuple([a.shape[i] for i in places]):
        raise refusal(
            ShapeError,
            f"average: weights have shape {weights.shape}; it must be that of a, {a.shape}, or "
            f"that of the axes {brief(axis)} which are averaged over",
            a=a,
            weights=weights,
        )
    # The weights' axes are in the order of `axis`.
    weights = transpose(weights, sorted(range(len(places)), key=places.__getitem__))
    kept = reshape(weights, [n if i in axes else 1 for i, n in enumerate(a.shape)])
    return multiply(kept, np.ones(a.shape))


@numpy_name("numpy.ptp")
def ptp(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = max a - min a over `axis`."""
    return subtract(greatest(a, axis, keepdims), least(a, axis, keepdims))


# ---- covariances ----------------------------------------------------------------------


@numpy_name("numpy.cov")
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
) -> Any:
    """z = the covariances of variables: the rows of m, or its columns without `rowvar`."""
    x = _variables("cov", m, rowvar)
    if y is not None:
        x = concat([x, _variables("cov", y, rowvar)], axis=0)
    n = x.shape[1]
    taken = float(ddof) if ddof is not None else 0.0 if bias else 1.0
    weights = None
    for given in (fweights, aweights):
        if given is not None:
            weights = given if weights is None else multiply(weights, given)
    if weights is None:
        centred = subtract(x, mean(x, 1, True))
        return _without_ones(divide(dot(centred, transpose(centred)), max(n - taken, 0.0)))
    weights = operand("cov", weights, "weights")
    if weights.shape != (n,):
        raise refusal(
            ShapeError, f"cov: weights have shape {weights.shape}, it must be ({n},)", m=m
        )
    total = sum_over(weights)
    centred = subtract(x, divide(sum_over(multiply(x, weights), 1, True), total))
    if aweights is None:
        rest: Any = subtract(total, taken)
    else:
        spent = sum_over(multiply(weights, operand("cov", aweights, "aweights")))
        rest = subtract(total, multiply(taken, divide(spent, total)))
    return _without_ones(divide(dot(multiply(centred, weights), transpose(centred)), rest))


def _variables(name: str, m: Any, rowvar: bool) -> Any:
    """One variable a row."""
    m = operand(name, m, "m")
    if len(m.shape) > 2:
        raise refusal(ShapeError, f"{name}: m has shape {m.shape}, more than 2 axes", m=m)
    if len(m.shape) < 2:
        return reshape(m, (1, -1))
    return m if rowvar or m.shape[0] == 1 else transpose(m)


def _without_ones(x: Any) -> Any:
    return reshape(x, [n for n in x.shape if n != 1])


@numpy_name("numpy.corrcoef")
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """z = the covariances of variables, each divided by both standard deviations."""
    c = cov(x, y, rowvar)
    if not c.shape:
        return divide(c, c)
    n = c.shape[0]
    deviations = square_root(reshape(c, -1)[:: n + 1])
    return minimum(maximum(divide(c, outer(deviations, deviations)), -1.0), 1.0)


# ---- tests: 1.0 and 0.0, without gradient ---------------------------------------------


@numpy_name("numpy.any")
def any_of(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = 1 where an element over `axis` is not 0, else 0; NaN is not 0. No gradient."""
    return greater_equal(count_nonzero(a, axis, keepdims), 1.0)


@numpy_name("numpy.all")
def all_of(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = 1 where no element over `axis` is 0, else 0; NaN is not 0. No gradient."""
    (a,), attributes = over_axes("all", a, axis, keepdims)
    return equal(sum_over.normal(equal(a, 0.0), **attributes), 0.0)


@numpy_name("numpy.count_nonzero")
def count_nonzero(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = how many elements over `axis` are not 0; NaN is not. No gradient."""
    (a,), attributes = over_axes("count_nonzero", a, axis, keepdims)
    return sum_over.normal(not_equal(a, 0.0), **attributes)


@numpy_name("numpy.isclose")
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """z = 1 where |a - b| <= atol + rtol |b|, or both are the same infinity, else 0."""
    near = greater_equal(atol + rtol * magnitude(b), magnitude(subtract(a, b)))
    finite = equal(subtract(b, b), 0.0)
    same = equal(a, b)
    if equal_nan:
        same = maximum(same, multiply(not_equal(a, a), not_equal(b, b)))
    return maximum(multiply(near, finite), same)


def _numbers(x: Any) -> Array:
    """The numbers of an operand; recorded values have none, and say so."""
    return np.asarray(x.value if is_operand(x) else x)


@numpy_name("numpy.allclose")
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close: Python's True or False. Recorded values have no numbers."""
    return bool(np.allclose(_numbers(a), _numbers(b), rtol, atol, equal_nan))


@numpy_name("numpy.array_equal")
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """Whether shapes and all elements agree: Python's True or False."""
    return bool(np.array_equal(_numbers(a1), _numbers(a2), equal_nan))


@numpy_name("numpy.array_equiv")
def array_equiv(a1: Any, a2: Any) -> bool:
    """Whether shapes broadcast and all elements agree: Python's True or False."""
    return bool(np.array_equiv(_numbers(a1), _numbers(a2)))


# ---- without NaN ----------------------------------------------------------------------


def _known(a: Any) -> Any:
    """1 where a is a number, 0 where it is NaN."""
    return equal(a, a)


@numpy_name("numpy.nansum")
def nansum(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = Σ of the elements that are not NaN over `axis`."""
    a = operand("nansum", a, "a")
    return sum_over(where(_known(a), a, 0.0), axis, keepdims)


@numpy_name("numpy.nanprod")
def nanprod(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = Π of the elements that are not NaN over `axis`."""
    a = operand("nanprod", a, "a")
    return prod(where(_known(a), a, 1.0), axis, keepdims)


@numpy_name("numpy.nancumsum")
def nancumsum(a: Any, axis: int | None = None) -> Any:
    """z = running sums along `axis`, NaN counted as 0."""
    a = operand("nancumsum", a, "a")
    return cumsum(where(_known(a), a, 0.0), axis)


@numpy_name("numpy.nancumprod")
def nancumprod(a: Any, axis: int | None = None) -> Any:
    """z = running products along `axis`, NaN counted as 1."""
    a = operand("nancumprod", a, "a")
    return cumprod(where(_known(a), a, 1.0), axis)


@numpy_name("numpy.nanmean")
def nanmean(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = the mean of the elements that are not NaN over `axis`; NaN if there are none."""
    (a,), attributes = over_axes("nanmean", a, axis, keepdims)
    known = _known(a)
    total = sum_over.normal(where(known, a, 0.0), **attributes)
    return divide(total, sum_over.normal(known, **attributes))


def _nan_variance(name: str, a: Any, axis: Axis, ddof: Any, keepdims: Any) -> Any:
    (a,), attributes = over_axes(name, a, axis, keepdims)
    known = _known(a)
    rest = where(known, subtract(a, nanmean(a, attributes["axis"], True)), 0.0)
    count = subtract(sum_over.normal(known, **attributes), float(ddof))
    enough = greater_equal(0.0, count)  # none is left: NaN, as NumPy has it
    squares = sum_over.normal(square(rest), **attributes)
    return divide(squares, where(enough, np.nan, count))


@numpy_name("numpy.nanvar")
def nanvar(a: Any, axis: Axis = None, ddof: Any = 0, keepdims: bool = False) -> Any:
    """z = the variance of the elements that are not NaN over `axis`."""
    return _nan_variance("nanvar", a, axis, ddof, keepdims)


@numpy_name("numpy.nanstd")
def nanstd(a: Any, axis: Axis = None, ddof: Any = 0, keepdims: bool = False) -> Any:
    """z = √ of the variance of the elements that are not NaN; where that is 0, gradient 0."""
    return _root(_nan_variance("nanstd", a, axis, ddof, keepdims))


@numpy_name("numpy.nanmax")
def nanmax(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = max of the elements that are not NaN over `axis`; NaN if there are none."""
    return _nan_extreme("nanmax", greatest, -np.inf, a, axis, keepdims)


@numpy_name("numpy.nanmin")
def nanmin(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = min of the elements that are not NaN over `axis`; NaN if there are none."""
    return _nan_extreme("nanmin", least, np.inf, a, axis, keepdims)


def _nan_extreme(name: str, extreme: Any, empty: float, a: Any, axis: Axis, keepdims: Any) -> Any:
    (a,), attributes = over_some(name, a, axis, keepdims)
    known = _known(a)
    z = extreme(where(known, a, empty), **attributes)
    return where(sum_over.normal(known, **attributes), z, np.nan)
