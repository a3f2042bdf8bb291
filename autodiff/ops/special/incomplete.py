"""The incomplete gamma and beta functions, their inverses, and their derivatives by the shapes.

Derivatives by x are densities, in closed form. Those by the shapes are published algorithms:
see :mod:`autodiff.ops.special.gamma_numbers` and :mod:`autodiff.ops.special.beta_numbers`. Second
derivatives by all arguments are there, third ones by shapes are not, and are refused by name.
"""

# mypy: disable-error-code="has-type"
from __future__ import annotations

import math
from typing import Any

from autodiff.op import Example, Sample
from autodiff.ops.arithmetic import square
from autodiff.ops.elementwise import log, log1p
from autodiff.ops.special import beta_numbers, gamma_numbers
from autodiff.ops.special.gamma import digamma_gap, log_ratio, polygamma
from autodiff.ops.special.scipy_functions import by_number, no_rule, of_scipy, special_op

__all__ = [
    "beta",
    "beta_density",
    "betainc",
    "betaincc",
    "betaincinv",
    "betaln",
    "gamma_density",
    "gammainc",
    "gammaincc",
    "gammainccinv",
    "gammaincinv",
]

_POSITIVE = (0.0, math.inf)
_UNIT = (0.0, 1.0)
_GAMMA = (_POSITIVE, _POSITIVE)
_BETA = (_POSITIVE, _POSITIVE, _UNIT)


def _of(*pairs: tuple[float, float]) -> list[Example]:
    shapes = [(3, 4), (4,), ()]
    return [
        Example(tuple(Sample(shapes[(i + k) % 3], *pair) for k, pair in enumerate(pairs)))
        for i in range(3)
    ]


# ---- gamma ----------------------------------------------------------------------------

_SHAPE_AND_X = _of((0.4, 5.0), (0.3, 6.0))
_SHAPE_AND_P = _of((0.4, 5.0), (0.1, 0.9))


@special_op(
    domain=_GAMMA,
    backward=(
        lambda g, z, a, x: g * (z * log_ratio(a, x)),
        lambda g, z, a, x: g * (z * ((a - 1.0) / x - 1.0)),
    ),
    reads="z a x",
    examples=_SHAPE_AND_X,
)
def _gamma_density(a: Any, x: Any) -> Any:
    """z = x^(a - 1) e^-x / Γ(a)."""
    return by_number(gamma_numbers.gamma_density)(a, x)


@special_op(
    domain=_GAMMA,
    backward=(
        no_rule("third derivative of gammainc by its shape a"),
        lambda g, z, a, x: g * (_gamma_density(a, x) * (square(log_ratio(a, x)) - polygamma(1, a))),
    ),
    reads="a x",
    examples=_SHAPE_AND_X,
)
def _gammainc_aa(a: Any, x: Any) -> Any:
    """z = the second derivative of gammainc by a."""
    return by_number(gamma_numbers.gammainc_aa)(a, x)


@special_op(
    domain=_GAMMA,
    backward=(
        lambda g, z, a, x: g * _gammainc_aa(a, x),
        lambda g, z, a, x: g * (_gamma_density(a, x) * log_ratio(a, x)),
    ),
    reads="a x",
    examples=_SHAPE_AND_X,
)
def _gammainc_a(a: Any, x: Any) -> Any:
    """z = the derivative of gammainc by a, by R. J. Moore's algorithm AS 187."""
    return by_number(gamma_numbers.gammainc_a)(a, x)


@special_op(
    numpy=("scipy.special.gammainc",),
    domain=_GAMMA,
    backward=(
        lambda g, z, a, x: g * _gammainc_a(a, x),
        lambda g, z, a, x: g * _gamma_density(a, x),
    ),
    reads="a x",
    examples=_SHAPE_AND_X,
)
def gammainc(a: Any, x: Any) -> Any:
    """z = P(a, x) = ∫ t^(a - 1) e^-t dt / Γ(a) from 0 to x."""
    return of_scipy("gammainc")(a, x)


@special_op(
    numpy=("scipy.special.gammaincc",),
    domain=_GAMMA,
    backward=(
        lambda g, z, a, x: -(g * _gammainc_a(a, x)),
        lambda g, z, a, x: -(g * _gamma_density(a, x)),
    ),
    reads="a x",
    examples=_SHAPE_AND_X,
)
def gammaincc(a: Any, x: Any) -> Any:
    """z = Q(a, x) = 1 - P(a, x)."""
    return of_scipy("gammaincc")(a, x)


@special_op(
    numpy=("scipy.special.gammaincinv",),
    domain=(_POSITIVE, _UNIT),
    backward=(
        lambda g, z, a, y: -(g * (_gammainc_a(a, z) / _gamma_density(a, z))),
        lambda g, z, a, y: g / _gamma_density(a, z),
    ),
    reads="z a",
    examples=_SHAPE_AND_P,
)
def gammaincinv(a: Any, y: Any) -> Any:
    """z = x with P(a, x) = y."""
    return of_scipy("gammaincinv")(a, y)


@special_op(
    numpy=("scipy.special.gammainccinv",),
    domain=(_POSITIVE, _UNIT),
    backward=(
        lambda g, z, a, y: -(g * (_gammainc_a(a, z) / _gamma_density(a, z))),
        lambda g, z, a, y: -(g / _gamma_density(a, z)),
    ),
    reads="z a",
    examples=_SHAPE_AND_P,
)
def gammainccinv(a: Any, y: Any) -> Any:
    """z = x with Q(a, x) = y."""
    return of_scipy("gammainccinv")(a, y)


# ---- beta -----------------------------------------------------------------------------

_SHAPES = _of((0.4, 5.0), (0.4, 5.0))
_SHAPES_AND_X = _of((0.4, 5.0), (0.4, 5.0), (0.05, 0.95))


@special_op(
    numpy=("scipy.special.beta",),
    domain=_GAMMA,
    backward=(
        lambda g, z, a, b: g * (z * digamma_gap(a, b)),
        lambda g, z, a, b: g * (z * digamma_gap(b, a)),
    ),
    reads="z a b",
    examples=_SHAPES,
)
def beta(a: Any, b: Any) -> Any:
    """z = B(a, b) = Γ(a) Γ(b) / Γ(a + b)."""
    return of_scipy("beta")(a, b)


@special_op(
    numpy=("scipy.special.betaln",),
    domain=_GAMMA,
    backward=(
        lambda g, z, a, b: g * digamma_gap(a, b),
        lambda g, z, a, b: g * digamma_gap(b, a),
    ),
    reads="a b",
    examples=_SHAPES,
)
def betaln(a: Any, b: Any) -> Any:
    """z = ln |B(a, b)|."""
    return of_scipy("betaln")(a, b)


def _density_a(a: Any, b: Any, x: Any) -> Any:
    """The derivative of ln of the density by a, and that by b."""
    return log(x) - digamma_gap(a, b)


def _density_b(a: Any, b: Any, x: Any) -> Any:
    return log1p(-x) - digamma_gap(b, a)


@special_op(
    domain=_BETA,
    backward=(
        lambda g, z, a, b, x: g * (z * _density_a(a, b, x)),
        lambda g, z, a, b, x: g * (z * _density_b(a, b, x)),
        lambda g, z, a, b, x: g * (z * ((a - 1.0) / x - (b - 1.0) / (1.0 - x))),
    ),
    reads="z a b x",
    examples=_SHAPES_AND_X,
)
def _beta_density(a: Any, b: Any, x: Any) -> Any:
    """z = x^(a - 1) (1 - x)^(b - 1) / B(a, b)."""
    return by_number(beta_numbers.beta_density)(a, b, x)


_THIRD = no_rule("third derivative of betainc by its shapes a and b")


@special_op(
    domain=_BETA,
    backward=(
        _THIRD,
        _THIRD,
        lambda g, z, a, b, x: (
            g
            * _beta_density(a, b, x)
            * (square(_density_a(a, b, x)) - polygamma(1, a) + polygamma(1, a + b))
        ),
    ),
    reads="a b x",
    examples=_SHAPES_AND_X,
)
def _betainc_aa(a: Any, b: Any, x: Any) -> Any:
    """z = the second derivative of betainc by a."""
    return by_number(beta_numbers.betainc_aa)(a, b, x)


@special_op(
    domain=_BETA,
    backward=(
        _THIRD,
        _THIRD,
        lambda g, z, a, b, x: (
            g
            * _beta_density(a, b, x)
            * (_density_a(a, b, x) * _density_b(a, b, x) + polygamma(1, a + b))
        ),
    ),
    reads="a b x",
    examples=_SHAPES_AND_X,
)
def _betainc_ab(a: Any, b: Any, x: Any) -> Any:
    """z = the derivative of betainc by a and b."""
    return by_number(beta_numbers.betainc_ab)(a, b, x)


@special_op(
    domain=_BETA,
    backward=(
        _THIRD,
        _THIRD,
        lambda g, z, a, b, x: (
            g
            * _beta_density(a, b, x)
            * (square(_density_b(a, b, x)) - polygamma(1, b) + polygamma(1, a + b))
        ),
    ),
    reads="a b x",
    examples=_SHAPES_AND_X,
)
def _betainc_bb(a: Any, b: Any, x: Any) -> Any:
    """z = the second derivative of betainc by b."""
    return by_number(beta_numbers.betainc_bb)(a, b, x)


@special_op(
    domain=_BETA,
    backward=(
        lambda g, z, a, b, x: g * _betainc_aa(a, b, x),
        lambda g, z, a, b, x: g * _betainc_ab(a, b, x),
        lambda g, z, a, b, x: g * (_beta_density(a, b, x) * _density_a(a, b, x)),
    ),
    reads="a b x",
    examples=_SHAPES_AND_X,
)
def _betainc_a(a: Any, b: Any, x: Any) -> Any:
    """z = the derivative of betainc by a."""
    return by_number(beta_numbers.betainc_a)(a, b, x)


@special_op(
    domain=_BETA,
    backward=(
        lambda g, z, a, b, x: g * _betainc_ab(a, b, x),
        lambda g, z, a, b, x: g * _betainc_bb(a, b, x),
        lambda g, z, a, b, x: g * (_beta_density(a, b, x) * _density_b(a, b, x)),
    ),
    reads="a b x",
    examples=_SHAPES_AND_X,
)
def _betainc_b(a: Any, b: Any, x: Any) -> Any:
    """z = the derivative of betainc by b."""
    return by_number(beta_numbers.betainc_b)(a, b, x)


@special_op(
    numpy=("scipy.special.betainc",),
    domain=_BETA,
    backward=(
        lambda g, z, a, b, x: g * _betainc_a(a, b, x),
        lambda g, z, a, b, x: g * _betainc_b(a, b, x),
        lambda g, z, a, b, x: g * _beta_density(a, b, x),
    ),
    reads="a b x",
    examples=_SHAPES_AND_X,
)
def betainc(a: Any, b: Any, x: Any) -> Any:
    """z = I_x(a, b) = ∫ t^(a - 1) (1 - t)^(b - 1) dt / B(a, b) from 0 to x."""
    return of_scipy("betainc")(a, b, x)


@special_op(
    numpy=("scipy.special.betaincc",),
    domain=_BETA,
    backward=(
        lambda g, z, a, b, x: -(g * _betainc_a(a, b, x)),
        lambda g, z, a, b, x: -(g * _betainc_b(a, b, x)),
        lambda g, z, a, b, x: -(g * _beta_density(a, b, x)),
    ),
    reads="a b x",
    examples=_SHAPES_AND_X,
)
def betaincc(a: Any, b: Any, x: Any) -> Any:
    """z = 1 - I_x(a, b)."""
    return of_scipy("betaincc")(a, b, x)


@special_op(
    numpy=("scipy.special.betaincinv",),
    domain=(_POSITIVE, _POSITIVE, _UNIT),
    backward=(
        lambda g, z, a, b, y: -(g * (_betainc_a(a, b, z) / _beta_density(a, b, z))),
        lambda g, z, a, b, y: -(g * (_betainc_b(a, b, z) / _beta_density(a, b, z))),
        lambda g, z, a, b, y: g / _beta_density(a, b, z),
    ),
    reads="z a b",
    examples=_of((0.4, 5.0), (0.4, 5.0), (0.1, 0.9)),
)
def betaincinv(a: Any, b: Any, y: Any) -> Any:
    """z = x with I_x(a, b) = y."""
    return of_scipy("betaincinv")(a, b, y)


gamma_density, beta_density = _gamma_density, _beta_density
