"""Continuous distributions of scipy.stats: densities, probabilities and their logarithms.

Logarithms are computed as such: ln Φ where Φ has gone to 0, and the like.
"""

from __future__ import annotations

import math
from typing import Any

from autodiff.ops.arithmetic import square
from autodiff.ops.distributions.registry import Continuous, log1mexp
from autodiff.ops.elementwise import abs, exp, expm1, greater, log, log1p, sigmoid, softplus, where
from autodiff.ops.powers import power
from autodiff.ops.special.bessel import i0e
from autodiff.ops.special.entropy import xlog1py, xlogy
from autodiff.ops.special.error_functions import cosm1, erf, erfc, log_ndtr, ndtr
from autodiff.ops.special.gamma import gammaln
from autodiff.ops.special.incomplete import betainc, betaincc, betaln, gammainc, gammaincc
from autodiff.ops.trigonometric import arctan2

__all__: list[str] = []

_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_LN2 = math.log(2.0)


def _positive(*shapes: Any) -> Any:
    """1 where all are positive."""
    good = greater(shapes[0], 0.0)
    for shape in shapes[1:]:
        good = good * greater(shape, 0.0)
    return good


# ---- normal and its like --------------------------------------------------------------


def _normal_logpdf(y: Any) -> Any:
    return -0.5 * square(y) - _LOG_ROOT_TWO_PI


Continuous("norm").enter(
    logpdf=_normal_logpdf,
    pdf=lambda y: exp(_normal_logpdf(y)),
    cdf=ndtr,
    sf=lambda y: ndtr(-y),
    logcdf=log_ndtr,
    logsf=lambda y: log_ndtr(-y),
)

_HALF = _LN2 - _LOG_ROOT_TWO_PI

Continuous("halfnorm", low=0.0).enter(
    logpdf=lambda y: _HALF - 0.5 * square(y),
    pdf=lambda y: exp(_HALF - 0.5 * square(y)),
    cdf=lambda y: erf(y * math.sqrt(0.5)),
    sf=lambda y: erfc(y * math.sqrt(0.5)),
    logcdf=lambda y: log(erf(y * math.sqrt(0.5))),
    logsf=lambda y: _LN2 + log_ndtr(-y),
)


def _lognorm_logpdf(y: Any, s: Any) -> Any:
    w = log(y)
    # Where y = 0 the density is 0, and so is that of no other number.
    at_0 = greater(y, 0.0)
    w = where(at_0, w, 1.0)
    value = -0.5 * square(w / s) - (log(s) + w + _LOG_ROOT_TWO_PI)
    return where(at_0, value, -math.inf)


Continuous("lognorm", "s", _positive, low=0.0).enter(
    logpdf=_lognorm_logpdf,
    pdf=lambda y, s: exp(_lognorm_logpdf(y, s)),
    cdf=lambda y, s: ndtr(log(y) / s),
    sf=lambda y, s: ndtr(-log(y) / s),
    logcdf=lambda y, s: log_ndtr(log(y) / s),
    logsf=lambda y, s: log_ndtr(-log(y) / s),
)


def _t_logpdf(y: Any, df: Any) -> Any:
    front = -betaln(0.5, 0.5 * df) - 0.5 * log(df)
    return front - 0.5 * (df + 1.0) * log1p(square(y) / df)


Continuous("t", "df", _positive).enter(logpdf=_t_logpdf, pdf=lambda y, df: exp(_t_logpdf(y, df)))

_LOG_PI = math.log(math.pi)

Continuous("cauchy").enter(
    logpdf=lambda y: -_LOG_PI - log1p(square(y)),
    pdf=lambda y: 1.0 / (math.pi * (1.0 + square(y))),
    cdf=lambda y: arctan2(1.0, -y) / math.pi,
    sf=lambda y: arctan2(1.0, y) / math.pi,
    logcdf=lambda y: log(arctan2(1.0, -y)) - _LOG_PI,
    logsf=lambda y: log(arctan2(1.0, y)) - _LOG_PI,
)


def _vonmises_logpdf(y: Any, kappa: Any) -> Any:
    return kappa * cosm1(y) - math.log(2.0 * math.pi) - log(i0e(kappa))


Continuous("vonmises", "kappa", _positive).enter(
    logpdf=_vonmises_logpdf, pdf=lambda y, kappa: exp(_vonmises_logpdf(y, kappa))
)


# ---- exponential and its like ----------------------------------------------------------


Continuous("expon", low=0.0).enter(
    logpdf=lambda y: -y,
    pdf=lambda y: exp(-y),
    cdf=lambda y: -expm1(-y),
    sf=lambda y: exp(-y),
    logcdf=log1mexp,
    logsf=lambda y: -y,
)


def _enter_hazard(name: str, shapes: str, logpdf: Any, hazard: Any, low: float) -> None:
    """A distribution by its cumulative hazard, which is -ln of what lies beyond."""
    Continuous(name, shapes, _positive if shapes else None, low=low, within=low + 0.5).enter(
        logpdf=logpdf,
        pdf=lambda y, *shape: exp(logpdf(y, *shape)),
        cdf=lambda y, *shape: -expm1(-hazard(y, *shape)),
        sf=lambda y, *shape: exp(-hazard(y, *shape)),
        logcdf=lambda y, *shape: log1mexp(hazard(y, *shape)),
        logsf=lambda y, *shape: -hazard(y, *shape),
    )


_enter_hazard(
    "weibull_min",
    "c",
    lambda y, c: log(c) + xlogy(c - 1.0, y) - power(y, c),
    power,
    0.0,
)
_enter_hazard("rayleigh", "", lambda y: log(y) - 0.5 * square(y), lambda y: 0.5 * square(y), 0.0)
_enter_hazard("pareto", "b", lambda y, b: log(b) - (b + 1.0) * log(y), lambda y, b: b * log(y), 1.0)
_enter_hazard(
    "gompertz",
    "c",
    lambda y, c: log(c) + y - c * expm1(y),
    lambda y, c: c * expm1(y),
    0.0,
)

Continuous("gumbel_r").enter(
    logpdf=lambda y: -y - exp(-y),
    pdf=lambda y: exp(-y - exp(-y)),
    cdf=lambda y: exp(-exp(-y)),
    sf=lambda y: -expm1(-exp(-y)),
    logcdf=lambda y: -exp(-y),
    logsf=lambda y: log1mexp(exp(-y)),
)
Continuous("gumbel_l").enter(
    logpdf=lambda y: y - exp(y),
    pdf=lambda y: exp(y - exp(y)),
    cdf=lambda y: -expm1(-exp(y)),
    sf=lambda y: exp(-exp(y)),
    logcdf=lambda y: log1mexp(exp(y)),
    logsf=lambda y: -exp(y),
)


# ---- logistic, uniform, Laplace --------------------------------------------------------


Continuous("logistic").enter(
    logpdf=lambda y: -abs(y) - 2.0 * softplus(-abs(y)),
    pdf=lambda y: sigmoid(y) * sigmoid(-y),
    cdf=sigmoid,
    sf=lambda y: sigmoid(-y),
    logcdf=lambda y: -softplus(-y),
    logsf=lambda y: -softplus(y),
)


def _fisk_logpdf(y: Any, c: Any) -> Any:
    u = c * log(y)
    return log(c) - log(y) - abs(u) - 2.0 * softplus(-abs(u))


Continuous("fisk", "c", _positive, low=0.0).enter(
    logpdf=_fisk_logpdf,
    pdf=lambda y, c: exp(_fisk_logpdf(y, c)),
    cdf=lambda y, c: sigmoid(c * log(y)),
    sf=lambda y, c: sigmoid(-c * log(y)),
    logcdf=lambda y, c: -softplus(-c * log(y)),
    logsf=lambda y, c: -softplus(c * log(y)),
)

Continuous("uniform", low=0.0, high=1.0).enter(
    logpdf=lambda y: 0.0 * y,
    pdf=lambda y: 0.0 * y + 1.0,
    cdf=lambda y: y + 0.0,
    sf=lambda y: 1.0 - y,
    logcdf=log,
    logsf=lambda y: log1p(-y),
)


def _laplace_cdf(y: Any) -> Any:
    half = 0.5 * exp(-abs(y))
    return where(greater(y, 0.0), 1.0 - half, half)


def _laplace_logcdf(y: Any) -> Any:
    beyond = greater(y, 0.0)
    return where(beyond, log1p(-0.5 * exp(-abs(y))), -abs(y) - _LN2)


Continuous("laplace").enter(
    logpdf=lambda y: -abs(y) - _LN2,
    pdf=lambda y: 0.5 * exp(-abs(y)),
    cdf=_laplace_cdf,
    sf=lambda y: _laplace_cdf(-y),
    logcdf=_laplace_logcdf,
    logsf=lambda y: _laplace_logcdf(-y),
)


# ---- gamma and beta --------------------------------------------------------------------


def _enter_gamma(name: str, shape: str, a_of: Any, rate: float) -> None:
    """A gamma distribution of shape a_of(the parameter), at `rate` times y."""

    def logpdf(y: Any, parameter: Any) -> Any:
        a = a_of(parameter)
        return xlogy(a - 1.0, y) - rate * y - gammaln(a) + math.log(rate) * a

    Continuous(name, shape, _positive, low=0.0).enter(
        logpdf=logpdf,
        pdf=lambda y, p: exp(logpdf(y, p)),
        cdf=lambda y, p: gammainc(a_of(p), rate * y),
        sf=lambda y, p: gammaincc(a_of(p), rate * y),
        logcdf=lambda y, p: log(gammainc(a_of(p), rate * y)),
        logsf=lambda y, p: log(gammaincc(a_of(p), rate * y)),
    )


_enter_gamma("gamma", "a", lambda a: a, 1.0)
_enter_gamma("chi2", "df", lambda df: 0.5 * df, 0.5)


def _invgamma_logpdf(y: Any, a: Any) -> Any:
    # At y = 0, where 1 / y is infinite, the density is 0.
    beyond = greater(y, 0.0)
    y = where(beyond, y, 1.0)
    return where(beyond, -(a + 1.0) * log(y) - gammaln(a) - 1.0 / y, -math.inf)


Continuous("invgamma", "a", _positive, low=0.0).enter(
    logpdf=_invgamma_logpdf,
    pdf=lambda y, a: exp(_invgamma_logpdf(y, a)),
    cdf=lambda y, a: gammaincc(a, 1.0 / y),
    sf=lambda y, a: gammainc(a, 1.0 / y),
    logcdf=lambda y, a: log(gammaincc(a, 1.0 / y)),
    logsf=lambda y, a: log(gammainc(a, 1.0 / y)),
)


def _beta_logpdf(y: Any, a: Any, b: Any) -> Any:
    return xlog1py(b - 1.0, -y) + xlogy(a - 1.0, y) - betaln(a, b)


Continuous("beta", "a b", _positive, low=0.0, high=1.0).enter(
    logpdf=_beta_logpdf,
    pdf=lambda y, a, b: exp(_beta_logpdf(y, a, b)),
    cdf=lambda y, a, b: betainc(a, b, y),
    sf=lambda y, a, b: betaincc(a, b, y),
    logcdf=lambda y, a, b: log(betainc(a, b, y)),
    logsf=lambda y, a, b: log(betaincc(a, b, y)),
)
