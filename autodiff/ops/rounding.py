"""Rounding, quotients in whole numbers and what they leave.

What rounds is constant between its steps: its value has no gradient. A remainder has: of x it is 1,
of y minus the whole quotient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.declare import declare, numpy_name
from autodiff.errors import DTypeError
from autodiff.ops.arguments import brief, whole_number
from autodiff.ops.examples import binary, unary
from autodiff.refusal import refusal

__all__ = ["ceil", "floor", "floor_divide", "fmod", "remainder", "rint", "trunc"]


# ---- to whole numbers ----------------------------------------------------------------------


@declare(numpy=("numpy.floor",), backward=None, examples=unary())
def floor(x: Any) -> Any:
    """z = the greatest whole number that is not above x; no gradient."""
    return np.floor(x.real)


@declare(numpy=("numpy.ceil",), backward=None, examples=unary())
def ceil(x: Any) -> Any:
    """z = the least whole number that is not below x; no gradient."""
    return np.ceil(x.real)


@declare(numpy=("numpy.trunc",), backward=None, examples=unary())
def trunc(x: Any) -> Any:
    """z = x without its fraction; no gradient."""
    return np.trunc(x.real)


@declare(numpy=("numpy.rint",), backward=None, examples=unary())
def rint(x: Any) -> Any:
    """z = the whole number next to x, the even one of two; no gradient."""
    return np.rint(x.real)


@numpy_name("numpy.fix")
def _fix(x: Any) -> Any:
    """z = x without its fraction; no gradient."""
    return trunc(x)


@numpy_name("numpy.round", "numpy.around")
def rounded(a: Any, decimals: Any = 0) -> Any:
    """z = a rounded to so many decimals, as NumPy does it; no gradient."""
    number = whole_number(decimals)
    if number is None:
        raise refusal(DTypeError, f"round: decimals {brief(decimals)} is not an integer", a=a)
    if number == 0:
        return rint(a)
    scale = 10.0 ** abs(number)
    return rint(a * scale) / scale if number > 0 else rint(a / scale) * scale


# ---- quotients and remainders -------------------------------------------------------------


def _of_reals(function: Any, x: Any, y: Any, whole: Any) -> Any:
    """A remainder x - y q; of complex numbers, q is that of the real parts."""
    if not (np.iscomplexobj(x) or np.iscomplexobj(y)):
        return function(x, y)
    return function(x.real, y.real) + 1j * (x.imag - y.imag * whole(x.real, y.real))


@declare(
    numpy=("numpy.floor_divide",),
    cost=30.0,
    backward=(None, None),
    examples=binary(kind="distinct"),
)
def floor_divide(x: Any, y: Any) -> Any:
    """z = the greatest whole number that is not above x / y; no gradient."""
    return np.floor_divide(x.real, y.real)


@declare(
    numpy=("numpy.remainder",),
    cost=26.0,
    backward=(lambda g, z, x, y: g, lambda g, z, x, y: -(g * floor_divide(x, y))),
    reads="x y",
    examples=binary(kind="distinct"),
)
def remainder(x: Any, y: Any) -> Any:
    """z = x - y ⌊x / y⌋, of the sign of y: Python's x % y."""
    return _of_reals(np.remainder, x, y, np.floor_divide)


def _fmod_quotient(x: Any, y: Any) -> Any:
    return np.rint((x - np.fmod(x, y)) / y)


def _fmod_gy(g: Any, z: Any, x: Any, y: Any) -> Any:
    return -(g * rint((x - fmod(x, y)) / y))  # where x / y rounds up, its own fraction is lost


@declare(
    numpy=("numpy.fmod",),
    cost=20.0,
    backward=(lambda g, z, x, y: g, _fmod_gy),
    reads="x y",
    examples=binary(kind="distinct"),
)
def fmod(x: Any, y: Any) -> Any:
    """z = x - y q, with q = x / y without its fraction, of the sign of x: C's fmod."""
    return _of_reals(np.fmod, x, y, _fmod_quotient)


@numpy_name("numpy.divmod")
def quotient_and_remainder(x: Any, y: Any) -> tuple[Any, Any]:
    """z = ⌊x / y⌋, which has no gradient, and x - y ⌊x / y⌋."""
    return floor_divide(x, y), remainder(x, y)


@numpy_name("numpy.modf")
def _modf(x: Any) -> tuple[Any, Any]:
    """z = the fraction of x, which has the gradient, and x without it."""
    whole = trunc(x)
    return x - whole, whole
