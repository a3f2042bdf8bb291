"""Logarithms of incomplete gamma and beta functions, and the names of autograd-gamma.

That library's functions (its derivatives by shapes are differences) are here with the derivatives
of :mod:`autodiff.ops.special.incomplete`.
"""

from __future__ import annotations

import math
from typing import Any

from autodiff.ops.elementwise import exp, expm1, greater, log, log1p, where
from autodiff.ops.special.incomplete import (
    betainc,
    betaincc,
    betaincinv,
    gammainc,
    gammaincc,
    gammainccinv,
    gammaincinv,
)

__all__ = [
    "betainc",
    "betaincinv",
    "betaincln",
    "gammainc",
    "gammaincc",
    "gammainccinv",
    "gammainccln",
    "gammaincinv",
    "gammaincln",
    "log1mexp",
    "log_of",
]

_LN2 = math.log(2.0)


def log1mexp(x: Any) -> Any:
    """ln(1 - e^-x) for x >= 0, exact for small and for large x."""
    near = greater(_LN2, x)
    return where(near, log(-expm1(-where(near, x, 1.0))), log1p(-exp(-where(near, 1.0, x))))


def log_of(p: Any, rest: Any, log_p: Any = None) -> Any:
    """ln p with rest = 1 - p, exact for p near 1 too.

    log_p : ln p where p is small, if there is a better way to it.
    """
    near = greater(p, 0.5)
    if log_p is None:
        log_p = log(where(near, 1.0, p))
    return where(near, log1p(-where(near, rest, 0.0)), log_p)


def gammaincln(a: Any, x: Any) -> Any:
    """z = ln P(a, x); -inf where P is less than the smallest number."""
    return log_of(gammainc(a, x), gammaincc(a, x))


def gammainccln(a: Any, x: Any) -> Any:
    """z = ln Q(a, x); -inf where Q is less than the smallest number."""
    return log_of(gammaincc(a, x), gammainc(a, x))


def betaincln(a: Any, b: Any, x: Any) -> Any:
    """z = ln I_x(a, b); -inf where I is less than the smallest number."""
    return log_of(betainc(a, b, x), betaincc(a, b, x))
