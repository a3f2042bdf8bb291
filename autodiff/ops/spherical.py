"""The derivatives of sinc: spherical Bessel functions j_n of π x.

sin(t) / t is j_0(t), and d j_n / dt = (n j_{n-1} - (n + 1) j_{n+1}) / (2n + 1): so one op whose
order is an operand gives derivatives of every order, without the cancellation that
(cos t - sin(t) / t) / t has near t = 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.declare import declare
from autodiff.op import Example, Sample
from autodiff.ops.elementwise import abs

__all__: list[str] = []

MOST_ORDER = 20
"""Of higher orders the op is NaN: nobody differentiates sinc so often."""
_TERMS = 40


def _sinc_part_backward(g: Any, z: Any, order: Any, x: Any) -> Any:
    below, above = _sinc_part(abs(order - 1.0), x), _sinc_part(order + 1.0, x)
    scale = math.pi / (2.0 * order + 1.0)
    return g * (scale * (order * below - (order + 1.0) * above))


@declare(
    ulps=math.inf,
    cost=60.0,
    backward=(None, _sinc_part_backward),
    reads="order x",
    examples=[
        Example((Sample(order, 0, 6, "integer"), Sample(x, -4.0, 4.0)))
        for order, x in [((3, 4), (3, 4)), ((4,), (3, 4)), ((3, 1), (1, 4)), ((), (2, 3))]
    ],
)
def _sinc_part(order: Any, x: Any) -> Any:
    """z = j_n(π x), the spherical Bessel function of order n; NaN if there is no such order."""
    n, x = np.broadcast_arrays(np.asarray(order).real, x)
    z = np.full(x.shape, np.nan, x.dtype)
    for k in np.unique(n[(n >= 0.0) & (n <= MOST_ORDER) & (n == np.rint(n))]):
        z = np.where(n == k, bessel_of_turns(int(k), x), z)
    return z


def sinc_slope(x: Any) -> Any:
    """The derivative of sinc, written with ops: -π j_1(π x)."""
    return -math.pi * _sinc_part(1.0, x)


def bessel_of_turns(n: int, x: Any) -> Any:
    """j_n(π x) on numbers: by its series up to |π x| = n + 1, else from j_0 and j_1 upwards.

    π x is reduced before it is rounded, so that sin(π x) is 0 where x is an integer.
    """
    rest = x - 2.0 * np.rint(0.5 * x.real)  # from -1 to 1, exactly
    far = np.abs(rest.real) > 0.5
    folded = np.where(far, np.copysign(1.0, rest.real) - rest, rest)
    short = 0.5 - np.where(folded.real < 0.0, -folded, folded)  # of a quarter turn
    sine, cosine = np.sin(np.pi * folded), np.sin(np.pi * short)
    cosine = np.where(far, -cosine, cosine)
    t = np.pi * x
    zero = t.real == 0.0
    safe = np.where(zero, 1.0, t)
    before, z = cosine / safe, np.where(zero, 1.0 + 0.0 * t, sine / safe)
    for k in range(n):
        before, z = z, (2.0 * k + 1.0) / safe * z - before
    return z if n == 0 else np.where(np.abs(t.real) <= n + 1.0, _bessel_series(n, t), z)


def _bessel_series(n: int, t: Any) -> Any:
    """t^n / (2n + 1)!! times 1 - t²/2 / (2n + 3) + ..."""
    half = -0.5 * t * t
    term = total = np.ones_like(t)
    for k in range(1, _TERMS):
        term = term * half / (k * (2.0 * n + 2.0 * k + 1.0))
        total = total + term
    for k in range(n):
        total = total * (t / (2.0 * k + 3.0))
    return total
