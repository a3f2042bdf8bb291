"""The gamma function and what comes from it.

A derivative by an argument that has none here (the exponent of zeta) is refused by name.
"""

# mypy: disable-error-code="has-type"
from __future__ import annotations

import math
from typing import Any

from autodiff.array import as_float64, is_operand
from autodiff.declare import numpy_name
from autodiff.errors import DTypeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import brief, whole_number
from autodiff.ops.arithmetic import square
from autodiff.ops.elementwise import greater, maximum, minimum, where
from autodiff.ops.examples import unary
from autodiff.ops.special import gamma_numbers as numbers
from autodiff.ops.special.scipy_functions import (
    by_number,
    no_rule,
    of_scipy,
    order_without_gradient,
    special_op,
)
from autodiff.refusal import refusal

__all__ = [
    "binom",
    "comb",
    "digamma",
    "factorial",
    "gamma",
    "gammaln",
    "gammasgn",
    "loggamma",
    "multigammaln",
    "poch",
    "polygamma",
    "rgamma",
    "zeta",
]


def _positive(*pairs: tuple[float, float]) -> list[Example]:
    """Operands that broadcast, each from an interval of its own."""
    shapes = [(3, 4), (4,), ()]
    return [
        Example(tuple(Sample(shapes[(i + k) % 3], *pair) for k, pair in enumerate(pairs)))
        for i in range(3)
    ]


@special_op(
    numpy=("scipy.special.digamma", "scipy.special.psi"),
    domain=((0.0, math.inf),),
    backward=lambda g, z, x: g * polygamma(1, x),
    reads="x",
    examples=unary(0.3, 6.0),
)
def digamma(x: Any) -> Any:
    """z = Γ'(x) / Γ(x), the derivative of ln Γ."""
    return of_scipy("psi")(x)


@special_op(
    numpy=("scipy.special.gamma",),
    domain=((0.0, math.inf),),
    backward=lambda g, z, x: g * (gamma(x) * digamma(x)),
    reads="x",
    examples=unary(0.3, 6.0),
)
def gamma(x: Any) -> Any:
    """z = Γ(x)."""
    return of_scipy("gamma")(x)


@special_op(
    numpy=("scipy.special.gammaln",),
    domain=((0.0, math.inf),),
    backward=lambda g, z, x: g * digamma(x),
    reads="x",
    examples=unary(0.3, 6.0),
)
def gammaln(x: Any) -> Any:
    """z = ln |Γ(x)|."""
    return of_scipy("gammaln")(x)


@special_op(
    numpy=("scipy.special.loggamma",),
    domain=((0.0, math.inf),),
    backward=lambda g, z, x: g * digamma(x),
    reads="x",
    examples=unary(0.3, 6.0),
)
def loggamma(x: Any) -> Any:
    """z = ln Γ(x); NaN for x < 0."""
    return of_scipy("loggamma")(x)


@special_op(numpy=("scipy.special.gammasgn",), backward=None, examples=unary(0.3, 6.0))
def gammasgn(x: Any) -> Any:
    """z = the sign of Γ(x); no gradient."""
    return of_scipy("gammasgn")(x)


@special_op(
    domain=((0.0, math.inf),),
    backward=lambda g, z, x: g * (rgamma(x) * (square(digamma(x)) - polygamma(1, x))),
    reads="x",
    examples=unary(0.3, 6.0),
)
def _rgamma_derivative(x: Any) -> Any:
    """z = the derivative of 1 / Γ, also where 1 / Γ is 0."""
    return by_number(numbers.rgamma_slope)(x)


@special_op(
    numpy=("scipy.special.rgamma",),
    domain=((0.0, math.inf),),
    backward=lambda g, z, x: g * _rgamma_derivative(x),
    reads="x",
    examples=unary(0.3, 6.0),
)
def rgamma(x: Any) -> Any:
    """z = 1 / Γ(x)."""
    return of_scipy("rgamma")(x)


# ---- polygamma and zeta ---------------------------------------------------------------


@special_op(
    domain=((1.5, math.inf), (0.0, math.inf)),
    backward=(
        no_rule("derivative of zeta by its exponent"),
        lambda g, z, s, q: -(g * (s * _zeta(s + 1.0, q))),
    ),
    reads="s q",
    examples=_positive((2.0, 5.0), (0.3, 4.0)),
)
def _zeta(s: Any, q: Any) -> Any:
    """z = Σ 1 / (q + k)^s over k >= 0."""
    return by_number(numbers.zeta)(s, q)


@numpy_name("scipy.special.zeta")
def zeta(x: Any, q: Any = None) -> Any:
    """z = Σ 1 / (q + k)^x over k >= 0, Hurwitz' zeta; q = 1, Riemann's, if it is not given.

    Raises
    ------
    GradientError
        If `x` needs a gradient: there is none here.
    """
    order_without_gradient("zeta", "x", x)
    return _zeta(x, 1.0 if q is None else q)


@numpy_name("scipy.special.polygamma")
def polygamma(n: Any, x: Any) -> Any:
    """z = derivative number n of digamma; n is a whole number >= 0.

    Raises
    ------
    DTypeError
        If `n` is another number, an array of several, or a node.
    """
    order = whole_number(n)
    if order is None and not is_operand(n):
        number = as_float64(n, "polygamma: n")
        order = int(number) if number.ndim == 0 and number == math.floor(number) else None
    if order is None or order < 0:
        raise refusal(
            DTypeError, f"polygamma: n must be one whole number >= 0, not {brief(n)}", x=x
        )
    if order == 0:
        return digamma(x)
    sign = 1.0 if order % 2 else -1.0
    value = _zeta(order + 1.0, x)
    return value if order == 1 else sign * math.gamma(order + 1.0) * value


# ---- digamma without cancellation ------------------------------------------------------


@special_op(
    domain=((0.0, math.inf), (0.0, math.inf)),
    backward=(lambda g, z, a, x: -(g * polygamma(1, a)), lambda g, z, a, x: g / x),
    reads="a x",
    examples=_positive((0.5, 30.0), (0.5, 30.0)),
)
def _log_ratio(a: Any, x: Any) -> Any:
    """z = ln x - digamma(a)."""
    return by_number(numbers.log_ratio)(a, x)


@special_op(
    domain=((0.0, math.inf), (0.0, math.inf)),
    backward=(
        lambda g, z, x, y: g * (polygamma(1, x) - polygamma(1, x + y)),
        lambda g, z, x, y: -(g * polygamma(1, x + y)),
    ),
    reads="x y",
    examples=_positive((0.5, 30.0), (0.5, 30.0)),
)
def _digamma_gap(x: Any, y: Any) -> Any:
    """z = digamma(x) - digamma(x + y)."""
    return by_number(numbers.digamma_gap)(x, y)


log_ratio, digamma_gap = _log_ratio, _digamma_gap


# ---- quotients of gamma functions ------------------------------------------------------


@special_op(
    numpy=("scipy.special.poch",),
    domain=((0.0, math.inf), (0.0, math.inf)),
    backward=(
        lambda g, z, x, m: -(g * (z * _digamma_gap(x, m))),
        lambda g, z, x, m: g * (z * digamma(x + m)),
    ),
    reads="z x m",
    examples=_positive((0.5, 4.0), (0.3, 3.0)),
)
def poch(x: Any, m: Any) -> Any:
    """z = Γ(x + m) / Γ(x), Pochhammer's symbol."""
    return of_scipy("poch")(x, m)


@special_op(
    numpy=("scipy.special.binom",),
    domain=((0.0, math.inf), (0.0, math.inf)),
    backward=(
        lambda g, z, n, k: -(g * (z * _digamma_gap(n - k + 1.0, k))),
        lambda g, z, n, k: g * (z * (digamma(n - k + 1.0) - digamma(k + 1.0))),
    ),
    reads="z n k",
    examples=_positive((4.0, 9.0), (0.5, 3.5)),
)
def binom(n: Any, k: Any) -> Any:
    """z = Γ(n + 1) / (Γ(k + 1) Γ(n - k + 1)), the binomial coefficient.

    Its gradient is NaN at whole numbers k < 0 or k > n, where it is 0.
    """
    return of_scipy("binom")(n, k)


@numpy_name("scipy.special.comb")
def comb(N: Any, k: Any, exact: bool = False, repetition: bool = False) -> Any:
    """z = in how many ways k of N things can be taken; 0 where k > N, N < 0 or k < 0."""
    if exact:
        raise refusal(DTypeError, "comb: exact integers have no gradient", N=N, k=k)
    n = N + k - 1.0 if repetition else N
    inside = 1.0 - greater(0.0, minimum(minimum(k, n), n - k))
    return where(inside, binom(where(inside, n, 1.0), where(inside, k, 0.0)), 0.0)


@numpy_name("scipy.special.factorial")
def factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    """z = Γ(n + 1), and 0 for n < 0."""
    if exact or extend != "zero":
        raise refusal(DTypeError, "factorial: exact and extend are not served", n=n)
    below = greater(0.0, n)
    return where(below, 0.0, gamma(maximum(n, 0.0) + 1.0))


@numpy_name("scipy.special.multigammaln")
def multigammaln(a: Any, d: Any) -> Any:
    """z = ln Γ_d(a), the multivariate gamma function; d is a whole number >= 1."""
    n = whole_number(d)
    if n is None or n < 1:
        raise refusal(DTypeError, f"multigammaln: d must be a whole number >= 1, not {d}", a=a)
    total = gammaln(a)
    for j in range(1, n):
        total = total + gammaln(a - 0.5 * j)
    return total + 0.25 * n * (n - 1) * math.log(math.pi)
