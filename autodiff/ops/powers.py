"""Powers.

x^0 is the constant 1, also at 0, where its slope 0 x^-1 would be 0 · inf: chosen, not multiplied.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.array import as_float64, is_operand
from autodiff.declare import declare
from autodiff.op import Example, Sample
from autodiff.ops.arithmetic import square
from autodiff.ops.elementwise import equal, greater, greater_equal, log, where

__all__ = ["float_power", "power"]


def _power_arguments(name: str, x: Any, exponent: Any) -> Any:
    if is_operand(exponent) or isinstance(exponent, (list, tuple)):
        return float_power(x, exponent), None  # which knows what to do with lists of nodes
    p = as_float64(exponent, f"{name}: the exponent")
    if p.ndim:
        return float_power(x, p), None
    return (square(x), None) if p == 2.0 else ((x,), {"exponent": float(p)})


def _power_backward(g: Any, z: Any, x: Any, *, exponent: float) -> Any:
    if exponent == 0.0:
        return where(0.0, g, 0.0)
    return g * (exponent * power(x, exponent - 1.0))


@declare(
    numpy=("numpy.power", "numpy.float_power"),
    arguments=_power_arguments,
    ulps=1.0,
    domain=((0.0, math.inf),),
    cost=50.0,
    backward=_power_backward,
    reads="x",
    examples=[
        Example((Sample((3, 4), 0.3, 2.0),), {"exponent": 2.5}),
        Example((Sample((3, 4), -2.0, 2.0),), {"exponent": 3.0}),
        Example((Sample((5,), 0.5, 2.0),), {"exponent": -1.0}),
        Example((Sample((5,), -2.0, 2.0),), {"exponent": 0.0}),
    ],
)
def power(x: Any, *, exponent: float) -> Any:
    """z = x^p; NaN for x < 0 and p not an integer.

    exponent : a number, an array or a node, which then gets its gradient too: see
        :func:`float_power`.
    """
    return _complex_power(x, exponent) if np.iscomplexobj(x) else x**exponent


def _float_power_gx(g: Any, z: Any, x: Any, exponent: Any) -> Any:
    # Where p = 0 the slope is 0. Only where it would not come out so (1/x or g infinite or NaN) are
    # g and x replaced: elsewhere the derivative by p of this rule is still needed. What becomes of
    # x does not depend on g, so that the power is computed once for a batch of gradients.
    flat = equal(exponent, 0.0)
    known = equal(where(flat, 0.0 * (1.0 / x), 0.0), 0.0)
    sent = equal(where(flat, 0.0 * g, 0.0), 0.0)
    slope = exponent * float_power(where(known, x, 1.0), exponent - 1.0)
    return where(known, where(sent, g, 0.0), 0.0) * slope


def _float_power_gp(g: Any, z: Any, x: Any, exponent: Any) -> Any:
    # z ln x, with its limit 0 where x = 0 and p >= 0, and where x^p has gone to 0; NaN for x < 0.
    flat = where(equal(x, 0.0), greater_equal(1.0, z * z), equal(z, 0.0) * greater(x, 0.0))
    return where(flat, 0.0, g) * (where(flat, 0.0, z) * log(where(flat, 1.0, x)))


@declare(
    ulps=1.0,
    domain=((0.0, math.inf), (-math.inf, math.inf)),
    cost=50.0,
    backward=(_float_power_gx, _float_power_gp),
    reads="z x exponent",
    examples=[
        Example((Sample(x, 0.3, 2.0), Sample(p, -2.0, 3.0)))
        for x, p in [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 3), ())]
    ],
)
def float_power(x: Any, exponent: Any) -> Any:
    """z = x^p, element by element; NaN for x < 0 and p not an integer.

    The gradient of p is z ln x: 0 at x = 0 for p >= 0, and NaN for x < 0, where x^p is defined at
    single points only.
    """
    complex_ = np.iscomplexobj(x) or np.iscomplexobj(exponent)
    return _complex_power(x, exponent) if complex_ else np.power(x, exponent)


def _complex_power(x: Any, p: Any) -> Any:
    """Whole powers by squaring, since e^(p ln x) turns rounding errors of Re z into Im z."""
    x, p = np.broadcast_arrays(np.asarray(x, np.complex128), p)
    whole = (p.imag == 0.0) & (p.real == np.rint(p.real)) & (np.abs(p.real) < 2.0**31)
    left = np.where(whole, np.abs(p.real), 0.0).astype(np.int64)
    z, square_ = np.ones(x.shape, np.complex128), x
    while left.any():
        z = np.where(left & 1, z * square_, z)
        left >>= 1
        square_ = square_ * square_ if left.any() else square_
    return np.where(whole, np.where(p.real < 0.0, 1.0 / z, z), np.power(x, p))
