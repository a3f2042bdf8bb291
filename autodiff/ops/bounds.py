"""Numbers kept within bounds, and replaced where they are no numbers.

At a bound the gradient passes: what `clip` leaves as it is keeps its gradient, and only what it
moves gives it to the bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.declare import declare, numpy_name
from autodiff.ops.elementwise import (
    abs,
    equal,
    greater,
    greater_equal,
    maximum,
    minimum,
    sign,
    where,
)
from autodiff.ops.examples import binary
from autodiff.ops.logical import isnan, signbit
from autodiff.refusal import without_op

__all__: list[str] = []


@declare(
    backward=(
        lambda g, z, x, low: where(greater_equal(x, low), g, 0.0),
        lambda g, z, x, low: where(greater(low, x), g, 0.0),
    ),
    reads="x low",
    examples=binary(kind="distinct"),
)
def _at_least(x: Any, low: Any) -> Any:
    """z = max(x, low), where x is kept if they are equal; NaN if either is NaN."""
    return np.where((x.real >= low.real) | np.isnan(x), x, low)


@declare(
    backward=(
        lambda g, z, x, high: where(greater_equal(high, x), g, 0.0),
        lambda g, z, x, high: where(greater(x, high), g, 0.0),
    ),
    reads="x high",
    examples=binary(kind="distinct"),
)
def _at_most(x: Any, high: Any) -> Any:
    """z = min(x, high), where x is kept if they are equal; NaN if either is NaN."""
    return np.where((x.real <= high.real) | np.isnan(x), x, high)


@numpy_name("numpy.clip")
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """z = a, or the bound that it is beyond; a bound of None is none.

    Where a is within the bounds or equal to one, the gradient is a's, as in PyTorch's clamp;
    beyond, it is the bound's. If a_min is above a_max the result is a_max.
    """
    low, high = _bound("min", a_min, min), _bound("max", a_max, max)
    z = a if low is None else _at_least(a, low)
    return z if high is None else _at_most(z, high)


def _bound(name: str, first: Any, second: Any) -> Any:
    """A bound that has two names."""
    if first is not None and second is not None:
        raise TypeError(f"clip: a_{name} and {name} are the same bound; give one of them")
    return second if first is None else first


# ---- NaN is not chosen ---------------------------------------------------------------------


@numpy_name("numpy.fmax")
def _fmax(x: Any, y: Any) -> Any:
    """z = max(x, y); the other where one is NaN, which then has all of the gradient."""
    return maximum(where(isnan(x), y, x), where(isnan(y), x, y))


@numpy_name("numpy.fmin")
def _fmin(x: Any, y: Any) -> Any:
    """z = min(x, y); the other where one is NaN, which then has all of the gradient."""
    return minimum(where(isnan(x), y, x), where(isnan(y), x, y))


@numpy_name("numpy.nan_to_num")
def _nan_to_num(
    x: Any, copy: Any = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """z = x, with other numbers for NaN and infinities, where no gradient passes to x."""
    if not copy:
        raise without_op("np.nan_to_num", ["copy"])
    most = np.finfo(np.float64).max
    z = where(isnan(x), nan, x)
    z = where(equal(x, np.inf), most if posinf is None else posinf, z)
    return where(equal(x, -np.inf), -most if neginf is None else neginf, z)


# ---- signs and steps -----------------------------------------------------------------------


@numpy_name("numpy.copysign")
def _copysign(x: Any, y: Any) -> Any:
    """z = |x| with the sign of y; as |x|, it has gradient 0 at x = 0, and none of y."""
    return abs(x) * (1.0 - 2.0 * signbit(y))


@numpy_name("numpy.heaviside")
def _heaviside(x: Any, y: Any) -> Any:
    """z = 0 where x < 0, y where x = 0, 1 where x > 0; the gradient of y is where x = 0."""
    return where(equal(x, 0.0), y, 0.5 * (1.0 + sign(x)))
