"""Powers and logarithms of base 2 and 10, cube roots, sums of numbers known by their logarithms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.declare import declare
from autodiff.ops.examples import binary, unary

__all__ = ["cbrt", "exp2", "log2", "log10", "logaddexp", "logaddexp2"]

_LN2 = math.log(2.0)
_LN10 = math.log(10.0)


@declare(
    numpy=("numpy.exp2",),
    ulps=1.1,
    cost=5.0,
    backward=lambda g, z, x: g * (_LN2 * z),
    reads="z",
    examples=unary(),
)
def exp2(x: Any) -> Any:
    """z = 2^x."""
    return np.exp2(x)


@declare(
    numpy=("numpy.log2",),
    ulps=1.0,
    domain=((0.0, math.inf),),
    cost=7.0,
    backward=lambda g, z, x: g / (_LN2 * x),
    reads="x",
    examples=unary(0.2, 3.0),
)
def log2(x: Any) -> Any:
    """z = log x to base 2; exact for powers of two."""
    return np.log2(x)


@declare(
    numpy=("numpy.log10",),
    ulps=0.9,
    domain=((0.0, math.inf),),
    cost=7.0,
    backward=lambda g, z, x: g / (_LN10 * x),
    reads="x",
    examples=unary(0.2, 3.0),
)
def log10(x: Any) -> Any:
    """z = log x to base 10."""
    return np.log10(x)


@declare(
    numpy=("numpy.cbrt",),
    ulps=0.9,
    cost=8.0,
    backward=lambda g, z, x: g / (3.0 * z * z),
    reads="z",
    examples=unary(kind="distinct"),
)
def cbrt(x: Any) -> Any:
    """z = the cube root of x, of its sign; infinite slope at 0."""
    z = np.cbrt(x.real)
    return z + 1j * (x.imag / (3.0 * z * z)) if np.iscomplexobj(x) else z


# ---- ln(e^x + e^y) -----------------------------------------------------------------------


def _apart(x: Any, y: Any) -> Any:
    """|x - y|, and 0 of equal infinities."""
    d = np.where((x == y) & np.isinf(x.real), 0.0, x - y)
    return np.where(d.real < 0.0, -d, d)


def _larger(x: Any, y: Any) -> Any:
    return np.where((x.real >= y.real) | np.isnan(x), x, y)


def _share_gx(g: Any, z: Any, x: Any, y: Any) -> Any:
    return g * (_share_of_sum(x, y) * _share_of_sum(y, x))


@declare(
    ulps=math.inf,  # of e^-|x - y| it is half of |x - y|, as that is rounded
    cost=7.0,
    backward=(_share_gx, lambda g, z, x, y: -_share_gx(g, z, x, y)),
    reads="x y",
    examples=binary(),
)
def _share_of_sum(x: Any, y: Any) -> Any:
    """z = e^x / (e^x + e^y); a half if both are the same infinity."""
    e = np.exp(-_apart(x, y))
    return np.where(x.real >= y.real, 1.0, e) / (1.0 + e)


@declare(
    numpy=("numpy.logaddexp",),
    ulps=1.9,
    cost=20.0,
    backward=(
        lambda g, z, x, y: g * _share_of_sum(x, y),
        lambda g, z, x, y: g * _share_of_sum(y, x),
    ),
    reads="x y",
    examples=binary(),
)
def logaddexp(x: Any, y: Any) -> Any:
    """z = ln(e^x + e^y), without overflow."""
    return _larger(x, y) + np.log1p(np.exp(-_apart(x, y)))


@declare(
    numpy=("numpy.logaddexp2",),
    ulps=1.9,
    cost=20.0,
    backward=(
        lambda g, z, x, y: g * _share_of_sum(_LN2 * x, _LN2 * y),
        lambda g, z, x, y: g * _share_of_sum(_LN2 * y, _LN2 * x),
    ),
    reads="x y",
    examples=binary(),
)
def logaddexp2(x: Any, y: Any) -> Any:
    """z = log2(2^x + 2^y), without overflow."""
    return _larger(x, y) + np.log1p(np.exp2(-_apart(x, y))) * (1.0 / np.log(x.dtype.type(2.0)))
