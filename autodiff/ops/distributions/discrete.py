"""Discrete distributions of scipy.stats.

A probability as a function of k is that of its formula, also between whole numbers, where SciPy's
are 0: gradients are by the parameters.
"""

from __future__ import annotations

from typing import Any

from autodiff.ops.distributions.registry import Discrete
from autodiff.ops.elementwise import equal, exp, expm1, greater, greater_equal, log, log1p
from autodiff.ops.rounding import floor
from autodiff.ops.special.entropy import xlog1py, xlogy
from autodiff.ops.special.gamma import gammaln
from autodiff.ops.special.incomplete import betainc, betaincc, betaln, gammainc, gammaincc

__all__: list[str] = []


def _probability(p: Any) -> Any:
    """1 where p is between 0 and 1."""
    return greater_equal(p, 0.0) * greater_equal(1.0, p)


def _poisson_logpmf(k: Any, mu: Any) -> Any:
    return xlogy(k, mu) - gammaln(k + 1.0) - mu


Discrete("poisson", "mu", lambda mu: greater_equal(mu, 0.0)).enter(
    logpmf=_poisson_logpmf,
    pmf=lambda k, mu: exp(_poisson_logpmf(k, mu)),
    cdf=lambda k, mu: gammaincc(k + 1.0, mu),
    sf=lambda k, mu: gammainc(k + 1.0, mu),
    logcdf=lambda k, mu: log(gammaincc(k + 1.0, mu)),
    logsf=lambda k, mu: log(gammainc(k + 1.0, mu)),
)


def _binom_logpmf(k: Any, n: Any, p: Any) -> Any:
    # -ln(n + 1) - ln B(n - k + 1, k + 1) is ln of n over k, without large terms that cancel.
    ways = -log1p(n) - betaln(n - k + 1.0, k + 1.0)
    return ways + xlogy(k, p) + xlog1py(n - k, -p)


Discrete(
    "binom",
    "n p",
    lambda n, p: greater_equal(n, 0.0) * equal(floor(n), n) * _probability(p),
    high=lambda n, p: n,
).enter(
    logpmf=_binom_logpmf,
    pmf=lambda k, n, p: exp(_binom_logpmf(k, n, p)),
    cdf=lambda k, n, p: betaincc(k + 1.0, n - k, p),
    sf=lambda k, n, p: betainc(k + 1.0, n - k, p),
    logcdf=lambda k, n, p: log(betaincc(k + 1.0, n - k, p)),
    logsf=lambda k, n, p: log(betainc(k + 1.0, n - k, p)),
)


def _bernoulli_logpmf(k: Any, p: Any) -> Any:
    return xlogy(k, p) + xlog1py(1.0 - k, -p)


Discrete("bernoulli", "p", _probability, high=lambda p: 0.0 * p + 1.0).enter(
    logpmf=_bernoulli_logpmf,
    pmf=lambda k, p: exp(_bernoulli_logpmf(k, p)),
    cdf=lambda k, p: 1.0 - p,
    sf=lambda k, p: p + 0.0,
    logcdf=lambda k, p: log1p(-p),
    logsf=lambda k, p: log(p),
)


def _nbinom_logpmf(k: Any, n: Any, p: Any) -> Any:
    ways = -log(n + k) - betaln(n, k + 1.0)
    return ways + xlogy(n, p) + xlog1py(k, -p)


Discrete(
    "nbinom",
    "n p",
    lambda n, p: greater(n, 0.0) * greater(p, 0.0) * greater_equal(1.0, p),
).enter(
    logpmf=_nbinom_logpmf,
    pmf=lambda k, n, p: exp(_nbinom_logpmf(k, n, p)),
    cdf=lambda k, n, p: betainc(n, k + 1.0, p),
    sf=lambda k, n, p: betaincc(n, k + 1.0, p),
    logcdf=lambda k, n, p: log(betainc(n, k + 1.0, p)),
    logsf=lambda k, n, p: log(betaincc(n, k + 1.0, p)),
)


def _geom_logpmf(k: Any, p: Any) -> Any:
    return xlog1py(k - 1.0, -p) + log(p)


Discrete("geom", "p", lambda p: greater(p, 0.0) * greater_equal(1.0, p), low=1.0).enter(
    logpmf=_geom_logpmf,
    pmf=lambda k, p: exp(_geom_logpmf(k, p)),
    cdf=lambda k, p: -expm1(k * log1p(-p)),
    sf=lambda k, p: exp(k * log1p(-p)),
    logsf=lambda k, p: k * log1p(-p),
)
