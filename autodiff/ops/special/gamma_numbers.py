"""Gamma functions of single numbers, for derivatives.

The kernels have the same formulas in the same order (csrc/special.c), and so the same bits.
Sources: R. J. Moore, "Algorithm AS 187: Derivatives of the incomplete gamma integral", Applied
Statistics 31 (1982); C. Loader, "Fast and accurate computation of binomial probabilities" (2000).

Numbers are NumPy's, which divide by zero; `math` has the same functions as C.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.ops.special.scipy_functions import of_scipy

__all__ = [
    "deviance",
    "digamma_gap",
    "exp",
    "gamma_density",
    "gammainc_a",
    "gammainc_aa",
    "log",
    "log1p",
    "log_ratio",
    "normal_hazard",
    "normal_hazard_slope",
    "poisson",
    "rgamma_slope",
    "stirling",
    "zeta",
]

_MOST = 1_000_000
_INF, _NAN = np.float64(math.inf), np.float64(math.nan)


# ---- functions of C's -----------------------------------------------------------------


def log(x: Any) -> Any:
    """ln x."""
    return np.float64(math.log(x)) if x > 0.0 else -_INF if x == 0.0 else _NAN


def log1p(x: Any) -> Any:
    """ln(1 + x)."""
    return np.float64(math.log1p(x)) if x > -1.0 else -_INF if x == -1.0 else _NAN


def exp(x: Any) -> Any:
    """e^x."""
    try:
        return np.float64(math.exp(x))
    except OverflowError:
        return _INF


def _power(x: Any, p: Any) -> Any:
    try:
        return np.float64(math.pow(x, p))
    except OverflowError:
        return -_INF if x < 0.0 and p % 2.0 == 1.0 else _INF
    except ValueError:
        return _INF if x == 0.0 else _NAN


def _number(name: str, x: Any) -> Any:
    return np.float64(of_scipy(name)(x))


# ---- gamma functions ------------------------------------------------------------------

_EULER_MACLAURIN = (
    12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9,
    7.47242496e10, -2.950130727918164224e12, 1.1646782814350067249e14,
    -4.5979787224074726105e15, 1.8152105401943546773e17, -7.1661652561756670113e18,
)  # fmt: skip


def zeta(s: Any, q: Any) -> Any:
    """Σ 1/(q + k)^s over k >= 0."""
    s, q = np.float64(s), np.float64(q)
    if s == 1.0:
        return _INF
    if s < 1.0:
        return _NAN
    if q <= 0.0:
        if q == np.floor(q):
            return _INF
        if s != np.floor(s):
            return _NAN
        if s == 2.0 and q < -10.0:  # reflected: else there would be so many terms
            root = math.pi / np.float64(math.sin(math.pi * (q - np.floor(q))))
            return root * root - zeta(2.0, 1.0 - q)
        if q < -1e5:
            return _NAN
    if q > 1e8:
        return (1.0 / (s - 1.0) + 1.0 / (2.0 * q)) * _power(q, 1.0 - s)
    total, w, b, i = _power(q, -s), q, np.float64(0.0), 0
    while i < 9 or w <= 9.0:
        w += 1.0
        b = _power(w, -s)
        total += b
        if abs(b / total) < 2.0**-53:
            return total
        i += 1
    total += b * w / (s - 1.0)
    total -= 0.5 * b
    factor, k = np.float64(1.0), 0.0
    for coefficient in _EULER_MACLAURIN:
        factor *= s + k
        b /= w
        t = factor * b / coefficient
        total += t
        if abs(t / total) < 2.0**-53:
            break
        k += 1.0
        factor *= s + k
        b /= w
        k += 1.0
    return total


def rgamma_slope(x: Any) -> Any:
    """The slope of 1/Γ."""
    x = np.float64(x)
    if x <= 0.0 and x == np.floor(x):  # where digamma is infinite and 1/Γ is 0
        factorial = _number("gamma", 1.0 - x)
        return factorial if np.fmod(x, 2.0) == 0.0 else -factorial
    return -(_number("rgamma", x) * _number("psi", x))


def _log_minus_digamma(a: Any) -> Any:
    r = 1.0 / a
    u = r * r
    p = 1.0 / 12.0
    p = -691.0 / 32760.0 + u * p
    p = 1.0 / 132.0 + u * p
    p = -1.0 / 240.0 + u * p
    p = 1.0 / 252.0 + u * p
    p = -1.0 / 120.0 + u * p
    p = 1.0 / 12.0 + u * p
    return 0.5 * r + u * p


def log_ratio(a: Any, x: Any) -> Any:
    """ln x - digamma(a), also where the two are nearly equal."""
    a, x = np.float64(a), np.float64(x)
    if not a >= 12.0 or np.isinf(a) or not x > 0.0:
        return log(x) - _number("psi", a)
    d, ratio = (x - a) / a, x / a
    if abs(d) < 0.5:
        r = log1p(d)
    elif ratio > 0.0 and not np.isinf(ratio):
        r = log(ratio)
    else:
        r = log(x) - log(a)
    return r + _log_minus_digamma(a)


def digamma_gap(x: Any, y: Any) -> Any:
    """digamma(x) - digamma(x + y), also where the two are nearly equal."""
    x, y = np.float64(x), np.float64(y)
    total = x + y
    if not (x >= 12.0 and total >= 12.0) or np.isinf(total):
        return _number("psi", x) - _number("psi", total)
    return (_log_minus_digamma(total) - _log_minus_digamma(x)) - log1p(y / x)


# ---- densities ------------------------------------------------------------------------


def stirling(a: Any) -> Any:
    """a^a e^-a / Γ(a + 1)."""
    if a == 0.0:
        return np.float64(1.0)
    if not a > 15.0:
        return _power(a, a) * exp(-a) / _number("gamma", a + 1.0)
    r = 1.0 / a
    u = r * r
    p = -691.0 / 360360.0
    p = 1.0 / 1188.0 + u * p
    p = -1.0 / 1680.0 + u * p
    p = 1.0 / 1260.0 + u * p
    p = -1.0 / 360.0 + u * p
    p = 1.0 / 12.0 + u * p
    return exp(-(r * p)) / np.sqrt(6.283185307179586477 * a)


def deviance(a: Any, x: Any) -> Any:
    """a ln(a / x) + x - a, for a and x >= 0."""
    if a == 0.0:
        return x
    if x == 0.0 or np.isinf(a) or np.isinf(x):
        return _NAN if np.isnan(a) or np.isnan(x) else _INF
    half = 0.5 * a + 0.5 * x
    if abs(a - x) < 0.2 * half:
        v = 0.5 * (a - x) / half
        u = v * v
        total, term = (a - x) * v, 2.0 * a * v
        for j in range(1, 1000):
            term *= u
            before = total
            total += term / (2.0 * j + 1.0)
            if total == before:
                break
        return total
    ratio = a / x
    return x if ratio == 0.0 else a * log(ratio) + x - a


def poisson(a: Any, x: Any) -> Any:
    """x^a e^-x / Γ(a + 1)."""
    return stirling(a) * exp(-deviance(a, x))


def gamma_density(a: Any, x: Any) -> Any:
    """x^(a - 1) e^-x / Γ(a)."""
    a, x = np.float64(a), np.float64(x)
    if not a >= 0.0 or not x >= 0.0:
        return _NAN
    if a == 0.0:
        return _INF if x == 0.0 else np.float64(0.0)
    if x == 0.0:
        return _INF if a < 1.0 else np.float64(a == 1.0)
    if np.isinf(x) or np.isinf(a):
        return np.float64(0.0)
    return poisson(a, x) / x * a if a < 1.0 else poisson(a - 1.0, x)


# ---- gammainc by its shape ------------------------------------------------------------


def _by_series(a: Any, x: Any, w: Any, w1: Any) -> Any:
    c, s1, s2 = np.float64(1.0), w, w * w + w1
    for n in range(1, _MOST):
        r = 1.0 / (a + n)
        c *= x * r
        w -= r
        w1 += r * r
        s1 += c * w
        s2 += c * (w * w + w1)
        left = c * (1.0 + w * w)
        if left <= 1e-20 or left != left:
            return s1, s2
    return _NAN, _NAN


def _by_fraction(a: Any, x: Any, first: Any, second: Any) -> Any:
    b = x + 1.0 - a
    c0, c1, c2 = np.float64(1e300), 0.0, 0.0
    d0 = 1.0 / b
    d1, d2 = d0 * d0, 2.0 * d0 * d0 * d0
    k0, k1, k2 = d0, d1, d2
    for n in range(1, _MOST):
        i = float(n)
        p = -i * (i - a)
        b += 2.0
        e0, e1, e2 = p * d0 + b, i * d0 + p * d1 - 1.0, 2.0 * i * d1 + p * d2
        d0 = 1.0 / e0
        d1, d2 = -e1 * d0 * d0, (2.0 * e1 * e1 * d0 - e2) * d0 * d0
        q0 = 1.0 / c0
        q1, q2 = -c1 * q0 * q0, (2.0 * c1 * c1 * q0 - c2) * q0 * q0
        c0, c1, c2 = b + p * q0, -1.0 + i * q0 + p * q1, 2.0 * i * q1 + p * q2
        l0, l1 = c0 * d0, c1 * d0 + c0 * d1
        l2 = c2 * d0 + 2.0 * c1 * d1 + c0 * d2
        more1, more2 = k0 * l1, 2.0 * k1 * l1 + k0 * l2
        k2 = k2 * l0 + more2
        k1 = k1 * l0 + more1
        k0 *= l0
        if np.isnan(k0 + k1 + k2):
            break
        near = abs(more1) <= 1e-16 * abs(k1) and abs(more2) <= 1e-16 * abs(k2)
        if abs(l0 - 1.0) <= 3e-16 and near:
            L, L1 = first, second
            return (
                -((a * L + 1.0) * k0 + a * k1),
                -(2.0 * (L * k0 + k1) + a * ((L * L + L1) * k0 + 2.0 * L * k1 + k2)),
            )
    return _NAN, _NAN


def _by_shape(a: Any, x: Any) -> Any:
    """The first and second derivative of gammainc(a, x) by a."""
    a, x = np.float64(a), np.float64(x)
    zero = np.float64(0.0)
    if not a >= 0.0 or not x >= 0.0 or (a == 0.0 and x == 0.0):
        return _NAN, _NAN
    if x == 0.0 or np.isinf(x) or np.isinf(a):
        return zero, zero
    front = poisson(a, x)
    if front == 0.0:
        return zero, zero
    if a > 1e10:
        return _NAN, _NAN  # too many terms
    by = _by_series if x <= 1.0 or x <= a else _by_fraction
    first, second = by(a, x, log_ratio(a + 1.0, x), -zeta(2.0, a + 1.0))
    return first * front, second * front


def gammainc_a(a: Any, x: Any) -> Any:
    """The derivative of gammainc(a, x) by a."""
    return _by_shape(a, x)[0]


def gammainc_aa(a: Any, x: Any) -> Any:
    """The second derivative of gammainc(a, x) by a."""
    return _by_shape(a, x)[1]


# ---- the normal distribution ----------------------------------------------------------


def normal_hazard(x: Any) -> Any:
    """φ(x) / Φ(x), the slope of log_ndtr."""
    peak, root = float.fromhex("0x1.9884533d43651p-1"), float.fromhex("0x1.6a09e667f3bcdp-1")
    return peak / _number("erfcx", np.float64(x) * -root)


def normal_hazard_slope(x: Any) -> Any:
    """The slope of φ(x) / Φ(x)."""
    x = np.float64(x)
    if x < -1e100:
        return np.float64(-1.0)
    h = normal_hazard(x)
    if h == 0.0:
        return np.float64(0.0)
    return -(h * (_hazard_beyond(-x) if x < -5.0 else x + h))


def _hazard_beyond(t: Any) -> Any:
    """y - x for the slope y of log_ndtr, as 1/(t + 2/(t + 3/(t + ...))) with t = -x."""
    f = t
    for n in range(80, 1, -1):
        f = t + n / f
    return 1.0 / f
