"""The error function, the normal distribution's, and exponential integrals."""

# mypy: disable-error-code="has-type"
from __future__ import annotations

import math
from typing import Any

from autodiff.declare import numpy_name
from autodiff.ops.elementwise import exp, sin, softplus
from autodiff.ops.examples import unary
from autodiff.ops.special import gamma_numbers as numbers
from autodiff.ops.special.scipy_functions import by_number, of_scipy, special_op

__all__ = [
    "cosm1",
    "dawsn",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfi",
    "erfinv",
    "exp1",
    "expi",
    "log_expit",
    "log_ndtr",
    "logit",
    "ndtr",
    "ndtri",
    "ndtri_exp",
]

# The nearest numbers; of two roundings some would be one bit off.
_TWO_OVER_ROOT_PI = float.fromhex("0x1.20dd750429b6dp+0")
_HALF_ROOT_PI = float.fromhex("0x1.c5bf891b4ef6bp-1")
_NORMAL_PEAK = float.fromhex("0x1.9884533d43651p-2")
_ROOT_TWO_PI = float.fromhex("0x1.40d931ff62706p+1")


# ---- the error function ----------------------------------------------------------------


@special_op(
    numpy=("scipy.special.erf",),
    backward=lambda g, z, x: g * (_TWO_OVER_ROOT_PI * exp(-(x * x))),
    reads="x",
    examples=unary(),
)
def erf(x: Any) -> Any:
    """z = 2/√π ∫ e^-t² dt from 0 to x."""
    return of_scipy("erf")(x)


@special_op(
    numpy=("scipy.special.erfc",),
    backward=lambda g, z, x: -(g * (_TWO_OVER_ROOT_PI * exp(-(x * x)))),
    reads="x",
    examples=unary(),
)
def erfc(x: Any) -> Any:
    """z = 1 - erf x, also where that is small."""
    return of_scipy("erfc")(x)


@special_op(
    numpy=("scipy.special.erfcx",),
    backward=lambda g, z, x: g * (2.0 * x * z - _TWO_OVER_ROOT_PI),
    reads="z x",
    examples=unary(),
)
def erfcx(x: Any) -> Any:
    """z = e^x² erfc x."""
    return of_scipy("erfcx")(x)


@special_op(
    numpy=("scipy.special.erfi",),
    backward=lambda g, z, x: g * (_TWO_OVER_ROOT_PI * exp(x * x)),
    reads="x",
    examples=unary(),
)
def erfi(x: Any) -> Any:
    """z = 2/√π ∫ e^t² dt from 0 to x."""
    return of_scipy("erfi")(x)


@special_op(
    numpy=("scipy.special.dawsn",),
    backward=lambda g, z, x: g * (1.0 - 2.0 * x * z),
    reads="z x",
    examples=unary(),
)
def dawsn(x: Any) -> Any:
    """z = e^-x² ∫ e^t² dt from 0 to x, Dawson's integral."""
    return of_scipy("dawsn")(x)


@special_op(
    numpy=("scipy.special.erfinv",),
    domain=((-1.0, 1.0),),
    backward=lambda g, z, x: g * (_HALF_ROOT_PI * exp(z * z)),
    reads="z",
    examples=unary(-0.9, 0.9),
)
def erfinv(x: Any) -> Any:
    """z = y with erf y = x."""
    return of_scipy("erfinv")(x)


@special_op(
    numpy=("scipy.special.erfcinv",),
    domain=((0.0, 2.0),),
    backward=lambda g, z, x: -(g * (_HALF_ROOT_PI * exp(z * z))),
    reads="z",
    examples=unary(0.1, 1.9),
)
def erfcinv(x: Any) -> Any:
    """z = y with erfc y = x."""
    return of_scipy("erfcinv")(x)


# ---- the normal distribution -----------------------------------------------------------


@special_op(
    numpy=("scipy.special.ndtr",),
    backward=lambda g, z, x: g * (_NORMAL_PEAK * exp(-0.5 * (x * x))),
    reads="x",
    examples=unary(),
)
def ndtr(x: Any) -> Any:
    """z = Φ(x), the normal distribution."""
    return of_scipy("ndtr")(x)


@special_op(
    numpy=("scipy.special.ndtri",),
    domain=((0.0, 1.0),),
    backward=lambda g, z, x: g * (_ROOT_TWO_PI * exp(0.5 * (z * z))),
    reads="z",
    examples=unary(0.05, 0.95),
)
def ndtri(x: Any) -> Any:
    """z = y with Φ(y) = x."""
    return of_scipy("ndtri")(x)


def _hazard_slope_backward(g: Any, z: Any, x: Any) -> Any:
    hazard = _normal_hazard(x)
    return -(g * (z * (x + hazard) + hazard * (1.0 + z)))


@special_op(backward=_hazard_slope_backward, reads="z x", examples=unary(-4.0, 3.0))
def _normal_hazard_derivative(x: Any) -> Any:
    """z = the slope of φ(x) / Φ(x)."""
    return by_number(numbers.normal_hazard_slope)(x)


@special_op(
    backward=lambda g, z, x: g * _normal_hazard_derivative(x), reads="x", examples=unary(-6.0, 3.0)
)
def _normal_hazard(x: Any) -> Any:
    """z = φ(x) / Φ(x)."""
    return by_number(numbers.normal_hazard)(x)


@special_op(
    numpy=("scipy.special.log_ndtr",),
    backward=lambda g, z, x: g * _normal_hazard(x),
    reads="x",
    examples=unary(-6.0, 3.0),
)
def log_ndtr(x: Any) -> Any:
    """z = ln Φ(x), also where Φ is 0 or 1."""
    return of_scipy("log_ndtr")(x)


@special_op(
    numpy=("scipy.special.ndtri_exp",),
    domain=((-math.inf, 0.0),),
    backward=lambda g, z, x: g / _normal_hazard(z),
    reads="z",
    examples=unary(-6.0, -0.1),
)
def ndtri_exp(x: Any) -> Any:
    """z = y with ln Φ(y) = x."""
    return of_scipy("ndtri_exp")(x)


# ---- logistic --------------------------------------------------------------------------


@special_op(
    numpy=("scipy.special.logit",),
    domain=((0.0, 1.0),),
    backward=lambda g, z, x: g / (x * (1.0 - x)),
    reads="x",
    examples=unary(0.05, 0.95),
)
def logit(x: Any) -> Any:
    """z = ln(x / (1 - x))."""
    return of_scipy("logit")(x)


@numpy_name("scipy.special.log_expit")
def log_expit(x: Any) -> Any:
    """z = ln(1 / (1 + e^-x)), also where that is small."""
    return -softplus(-x)


# ---- integrals -------------------------------------------------------------------------


@special_op(
    numpy=("scipy.special.exp1",),
    domain=((0.0, math.inf),),
    backward=lambda g, z, x: -(g * (exp(-x) / x)),
    reads="x",
    examples=unary(0.2, 4.0),
)
def exp1(x: Any) -> Any:
    """z = ∫ e^-t / t dt from x on."""
    return of_scipy("exp1")(x)


@special_op(
    numpy=("scipy.special.expi",),
    domain=((0.0, math.inf),),
    backward=lambda g, z, x: g * (exp(x) / x),
    reads="x",
    examples=unary(0.2, 4.0),
)
def expi(x: Any) -> Any:
    """z = ∫ e^t / t dt up to x."""
    return of_scipy("expi")(x)


@special_op(
    numpy=("scipy.special.cosm1",),
    backward=lambda g, z, x: -(g * sin(x)),
    reads="x",
    examples=unary(),
)
def cosm1(x: Any) -> Any:
    """z = cos x - 1, also where that is small."""
    return of_scipy("cosm1")(x)
