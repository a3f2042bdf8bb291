"""The incomplete beta function's derivatives by its shapes, of single numbers.

The kernels have the same formulas in the same order (csrc/special_beta.c), and so the same bits.
Source: R. J. Boik and J. F. Robison-Cox, "Derivatives of the incomplete beta function", Journal of
Statistical Software 3 (1998), who differentiate a continued fraction; here it is DLMF 8.17.22, by
Lentz's method.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from autodiff.ops.special.gamma_numbers import (
    deviance,
    digamma_gap,
    exp,
    log,
    log1p,
    stirling,
    zeta,
)

__all__ = [
    "beta_density",
    "betainc_a",
    "betainc_aa",
    "betainc_ab",
    "betainc_b",
    "betainc_bb",
]

_MOST = 100_000
_INF, _NAN = np.float64(math.inf), np.float64(math.nan)


def _binomial(p: Any, q: Any, x: Any, y: Any) -> Any:
    """x^p y^q Γ(p + q + 1) / (Γ(p + 1) Γ(q + 1)), where x + y = 1."""
    n = p + q
    far = deviance(p, n * x) + deviance(q, n * y)
    return stirling(p) * stirling(q) / stirling(n) * exp(-far)


def beta_density(a: Any, b: Any, x: Any) -> Any:
    """x^(a - 1) (1 - x)^(b - 1) / B(a, b)."""
    a, b, x = np.float64(a), np.float64(b), np.float64(x)
    y = 1.0 - x
    if not _inside(a, b, x):
        return _NAN
    if x == 0.0:
        return _INF if a < 1.0 else b if a == 1.0 else np.float64(0.0)
    if x == 1.0:
        return _INF if b < 1.0 else a if b == 1.0 else np.float64(0.0)
    if a < 1.0 and b < 1.0:
        return _binomial(a, b, x, y) / x / y * (a * b / (a + b))
    if a < 1.0:
        return _binomial(a, b - 1.0, x, y) / x * a
    if b < 1.0:
        return _binomial(a - 1.0, b, x, y) / y * b
    return _binomial(a - 1.0, b - 1.0, x, y) * (a + b - 1.0)


def _inside(a: Any, b: Any, x: Any) -> bool:
    return bool(a > 0.0 and b > 0.0 and 0.0 <= x <= 1.0 and not np.isinf(a) and not np.isinf(b))


class _Jet(NamedTuple):
    """A number with its derivatives by a and b."""

    v: Any
    a: Any = 0.0
    b: Any = 0.0
    aa: Any = 0.0
    ab: Any = 0.0
    bb: Any = 0.0


def _times(x: _Jet, y: _Jet) -> _Jet:
    return _Jet(
        x.v * y.v,
        x.a * y.v + x.v * y.a,
        x.b * y.v + x.v * y.b,
        x.aa * y.v + 2.0 * x.a * y.a + x.v * y.aa,
        x.ab * y.v + x.a * y.b + x.b * y.a + x.v * y.ab,
        x.bb * y.v + 2.0 * x.b * y.b + x.v * y.bb,
    )


def _inverse(x: _Jet) -> _Jet:
    r = 1.0 / (1e-300 if x.v == 0.0 else x.v)
    s, t = -(r * r), 2.0 * r
    return _Jet(
        r,
        s * x.a,
        s * x.b,
        s * (x.aa - t * x.a * x.a),
        s * (x.ab - t * x.a * x.b),
        s * (x.bb - t * x.b * x.b),
    )


def _one_more(x: _Jet) -> _Jet:
    return x._replace(v=x.v + 1.0)


def _numerator(a: Any, b: Any, x: Any, m: float, even: bool) -> _Jet:
    """Numerator number 2m (even) or 2m + 1 of the fraction."""
    k = _Jet(a + 2.0 * m, 1.0)
    if even:
        below = _times(_Jet(a + 2.0 * m - 1.0, 1.0), k)
        return _times(_Jet(m * (b - m) * x, 0.0, m * x), _inverse(below))
    above = _times(_Jet(-(a + m) * x, -x), _Jet(a + b + m, 1.0, 1.0))
    return _times(above, _inverse(_times(k, _Jet(a + 2.0 * m + 1.0, 1.0))))


def _first(x: _Jet) -> Any:
    return abs(x.a) + abs(x.b)


def _second(x: _Jet) -> Any:
    return abs(x.aa) + abs(x.ab) + abs(x.bb)


def _fraction(a: Any, b: Any, x: Any) -> _Jet:
    """1/(1 + d1/(1 + d2/(1 + ...)))."""
    a, b, x = float(a), float(b), float(x)  # with which Python is faster; nothing divides by 0
    c = _Jet(1.0)
    f = d = _inverse(_one_more(_numerator(a, b, x, 0.0, False)))
    for m in range(1, _MOST):
        done = True
        for even in (True, False):
            p = _numerator(a, b, x, float(m), even)
            d = _inverse(_one_more(_times(p, d)))
            c = _one_more(_times(p, _inverse(c)))
            more = _times(c, d)
            f = _times(f, more)
            done &= bool(
                abs(more.v - 1.0) <= 3e-16
                and _first(more) * abs(f.v) <= 1e-16 * _first(f)
                and _second(more) * abs(f.v) <= 1e-16 * _second(f)
            )
        if done or math.isnan(f.v + _first(f) + _second(f)):
            return f
    return _Jet(_NAN, _NAN, _NAN)


def _by_fraction(a: Any, b: Any, x: Any, y: Any, log_x: Any, log_y: Any) -> _Jet:
    """betainc(a, b, x) as x^a y^b / (a B(a, b)) times the fraction."""
    n = a + b
    front = _binomial(a, b, x, y) * (b / n)
    if front == 0.0:
        return _Jet(front, front, front, front, front, front)
    by_a, by_b = log_x - digamma_gap(a + 1.0, b - 1.0), log_y - digamma_gap(b, a)
    z = zeta(2.0, n)
    by_aa, by_bb = z - zeta(2.0, a + 1.0), z - zeta(2.0, b)
    jet = _Jet(
        front,
        front * by_a,
        front * by_b,
        front * (by_a * by_a + by_aa),
        front * (by_a * by_b + z),
        front * (by_b * by_b + by_bb),
    )
    return _times(jet, _fraction(a, b, x))


def _by_shapes(a: Any, b: Any, x: Any) -> _Jet:
    """betainc(a, b, x) with its derivatives by a and b."""
    a, b, x = np.float64(a), np.float64(b), np.float64(x)
    zero = np.float64(0.0)
    if not _inside(a, b, x):
        return _Jet(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN)
    if x in (0.0, 1.0):
        return _Jet(x, zero, zero, zero, zero, zero)
    y, log_x, log_y = 1.0 - x, log(x), log1p(-x)
    if x <= (a + 1.0) / (a + b + 2.0):
        return _by_fraction(a, b, x, y, log_x, log_y)
    r = _by_fraction(b, a, y, x, log_y, log_x)
    return _Jet(1.0 - r.v, -r.b, -r.a, -r.bb, -r.ab, -r.aa)


def betainc_a(a: Any, b: Any, x: Any) -> Any:
    """The derivative of betainc(a, b, x) by a."""
    return _by_shapes(a, b, x).a


def betainc_b(a: Any, b: Any, x: Any) -> Any:
    """The derivative of betainc(a, b, x) by b."""
    return _by_shapes(a, b, x).b


def betainc_aa(a: Any, b: Any, x: Any) -> Any:
    """The second derivative of betainc(a, b, x) by a."""
    return _by_shapes(a, b, x).aa


def betainc_ab(a: Any, b: Any, x: Any) -> Any:
    """The derivative of betainc(a, b, x) by a and b."""
    return _by_shapes(a, b, x).ab


def betainc_bb(a: Any, b: Any, x: Any) -> Any:
    """The second derivative of betainc(a, b, x) by b."""
    return _by_shapes(a, b, x).bb
