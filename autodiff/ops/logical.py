"""Questions about numbers, answered by 1.0 or 0.0, without gradient; what is true is not 0.

NaN is true, as in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.declare import declare, numpy_name
from autodiff.ops.elementwise import equal, greater, greater_equal, where
from autodiff.ops.examples import binary, unary

__all__ = [
    "isfinite",
    "isinf",
    "isnan",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "signbit",
]


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


@declare(numpy=("numpy.logical_not",), backward=None, examples=unary(kind="distinct"))
def logical_not(x: Any) -> Any:
    """z = 1 where x is 0, else 0; no gradient."""
    return (x.real == 0.0).astype(np.float64)


@declare(numpy=("numpy.logical_and",), backward=(None, None), examples=binary())
def logical_and(x: Any, y: Any) -> Any:
    """z = 1 where neither x nor y is 0, else 0; no gradient."""
    return ((x.real != 0.0) & (y.real != 0.0)).astype(np.float64)


@declare(numpy=("numpy.logical_or",), backward=(None, None), examples=binary())
def logical_or(x: Any, y: Any) -> Any:
    """z = 1 where x and y are not both 0, else 0; no gradient."""
    return ((x.real != 0.0) | (y.real != 0.0)).astype(np.float64)


@declare(numpy=("numpy.logical_xor",), backward=(None, None), examples=binary())
def logical_xor(x: Any, y: Any) -> Any:
    """z = 1 where one of x and y is 0 and the other is not, else 0; no gradient."""
    return ((x.real != 0.0) != (y.real != 0.0)).astype(np.float64)


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
