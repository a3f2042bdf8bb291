"""Questions about numbers, answered by 1.0 or 0.0, without gradient; what is true is not 0.

NaN is true, as in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.declare import declare, numpy_name
from autodiff.ops.elementwise import equal, greater, greater_equal, not_equal, where
from autodiff.ops.examples import unary

__all__ = ["isfinite", "isinf", "isnan", "signbit"]


# ---- of one number -------------------------------------------------------------------------


@declare(numpy=("numpy.isnan",), backward=None, examples=unary())
def isnan(x: Any) -> Any:
    """z = 1 where x is NaN, else 0; no gradient."""
    return np.isnan(x.real).astype(np.float64)


@declare(numpy=("numpy.isfinite",), backward=None, examples=unary())
def isfinite(x: Any) -> Any:
    """z = 1 where x is neither infinite nor NaN, else 0; no gradient."""
    return np.isfinite(x.real).astype(np.float64)


@declare(numpy=("numpy.isinf",), backward=None, examples=unary())
def isinf(x: Any) -> Any:
    """z = 1 where x is infinite, else 0; no gradient."""
    return np.isinf(x.real).astype(np.float64)


@declare(numpy=("numpy.signbit",), backward=None, examples=unary())
def signbit(x: Any) -> Any:
    """z = 1 where x has the sign minus, as -0.0 has, else 0; no gradient."""
    return np.signbit(x.real).astype(np.float64)


@numpy_name("numpy.isposinf")
def _isposinf(x: Any) -> Any:
    """z = 1 where x is +inf, else 0; no gradient."""
    return equal(x, np.inf)


@numpy_name("numpy.isneginf")
def _isneginf(x: Any) -> Any:
    """z = 1 where x is -inf, else 0; no gradient."""
    return equal(x, -np.inf)


# ---- of two --------------------------------------------------------------------------------


@numpy_name("numpy.less")
def _less(x: Any, y: Any) -> Any:
    """z = 1 where x < y, else 0; no gradient."""
    return greater(y, x)


@numpy_name("numpy.less_equal")
def _less_equal(x: Any, y: Any) -> Any:
    """z = 1 where x <= y, else 0; no gradient."""
    return greater_equal(y, x)


@numpy_name("numpy.logical_not")
def _logical_not(x: Any) -> Any:
    """z = 1 where x is 0, else 0; no gradient."""
    return equal(x, 0.0)


@numpy_name("numpy.logical_and")
def _logical_and(x: Any, y: Any) -> Any:
    """z = 1 where neither x nor y is 0, else 0; no gradient."""
    return where(equal(x, 0.0), 0.0, not_equal(y, 0.0))


@numpy_name("numpy.logical_or")
def _logical_or(x: Any, y: Any) -> Any:
    """z = 1 where x and y are not both 0, else 0; no gradient."""
    return where(equal(x, 0.0), not_equal(y, 0.0), 1.0)


@numpy_name("numpy.logical_xor")
def _logical_xor(x: Any, y: Any) -> Any:
    """z = 1 where one of x and y is 0 and the other is not, else 0; no gradient."""
    return not_equal(equal(x, 0.0), equal(y, 0.0))


# ---- what is asked about complex numbers: nodes are real -----------------------------------


@numpy_name("numpy.real")
def _real(val: Any) -> Any:
    """z = val: numbers here are real."""
    return val


@numpy_name("numpy.imag")
def _imag(val: Any) -> Any:
    """z = 0: numbers here are real."""
    return np.zeros(val.shape)


@numpy_name("numpy.conjugate")
def _conjugate(x: Any) -> Any:
    """z = x: numbers here are real."""
    return x


@numpy_name("numpy.angle")
def _angle(z: Any, deg: Any = False) -> Any:
    """z = the angle of a real number: 0, or π where it has the sign minus."""
    half_turn = 180.0 if deg else np.pi
    return where(isnan(z), z, half_turn * signbit(z))


@numpy_name("numpy.isreal")
def _isreal(x: Any) -> Any:
    """z = true everywhere: numbers here are real."""
    return np.ones(x.shape, bool)


@numpy_name("numpy.iscomplex")
def _iscomplex(x: Any) -> Any:
    """z = false everywhere: numbers here are real."""
    return np.zeros(x.shape, bool)


@numpy_name("numpy.isrealobj")
def _isrealobj(x: Any) -> bool:
    """z = True: numbers here are real."""
    return True


@numpy_name("numpy.iscomplexobj")
def _iscomplexobj(x: Any) -> bool:
    """z = False: numbers here are real."""
    return False
