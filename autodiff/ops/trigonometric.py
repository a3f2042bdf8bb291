"""Trigonometric and hyperbolic functions beside sin, cos and tanh, angles and lengths.

Where NumPy has no function of complex numbers, the rules continue it to first order: that is all
that a complex step asks for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.declare import declare, numpy_name
from autodiff.ops.arithmetic import multiply
from autodiff.ops.elementwise import equal, sqrt, where
from autodiff.ops.examples import binary, unary
from autodiff.ops.spherical import bessel_of_turns, sinc_slope

__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cosh",
    "hypot",
    "sinc",
    "sinh",
    "tan",
]


# ---- of an angle -------------------------------------------------------------------------


@declare(
    numpy=("numpy.tan",),
    ulps=2.5,
    cost=11.0,
    backward=lambda g, z, x: g * (1.0 + z * z),
    reads="z",
    examples=unary(-1.4, 1.4),
)
def tan(x: Any) -> Any:
    """z = tan x."""
    return np.tan(x)


@declare(
    numpy=("numpy.sinc",),
    ulps=3.5,
    cost=13.0,
    backward=lambda g, z, x: g * sinc_slope(x),
    reads="x",
    examples=unary(-3.3, 3.3),
)
def sinc(x: Any) -> Any:
    """z = sin(π x) / (π x), and 1 at x = 0; 0 at every other integer."""
    return bessel_of_turns(0, x)


# ---- angles ------------------------------------------------------------------------------


@declare(
    numpy=("numpy.arcsin",),
    ulps=1.75,
    domain=((-1.0, 1.0),),
    cost=6.0,
    backward=lambda g, z, x: g / sqrt((1.0 - x) * (1.0 + x)),
    reads="x",
    examples=unary(-0.9, 0.9),
)
def arcsin(x: Any) -> Any:
    """z = arcsin x, from -π/2 to π/2; infinite slope at -1 and 1."""
    return np.arcsin(x)


@declare(
    numpy=("numpy.arccos",),
    ulps=1.25,
    domain=((-1.0, 1.0),),
    cost=6.0,
    backward=lambda g, z, x: -(g / sqrt((1.0 - x) * (1.0 + x))),
    reads="x",
    examples=unary(-0.9, 0.9),
)
def arccos(x: Any) -> Any:
    """z = arccos x, from 0 to π; infinite slope at -1 and 1."""
    return np.arccos(x)


@declare(
    numpy=("numpy.arctan",),
    ulps=2.0,
    cost=7.0,
    backward=lambda g, z, x: g / (1.0 + x * x),
    reads="x",
    examples=unary(-4.0, 4.0),
)
def arctan(x: Any) -> Any:
    """z = arctan x, from -π/2 to π/2."""
    return np.arctan(x)


def _arctan2_gy(g: Any, z: Any, y: Any, x: Any) -> Any:
    length = hypot(y, x)
    return g * (x / length / length)


def _arctan2_gx(g: Any, z: Any, y: Any, x: Any) -> Any:
    length = hypot(y, x)
    return -(g * (y / length / length))


@declare(
    numpy=("numpy.arctan2",),
    ulps=2.5,
    cost=11.0,
    backward=(_arctan2_gy, _arctan2_gx),
    reads="y x",
    examples=binary(kind="distinct"),
)
def arctan2(y: Any, x: Any) -> Any:
    """z = the angle of the point (x, y), from -π to π; its gradient at (0, 0) is NaN."""
    z = np.arctan2(y.real, x.real)
    if not (np.iscomplexobj(y) or np.iscomplexobj(x)):
        return z
    length = np.hypot(y.real, x.real)
    return z + 1j * ((x.real * y.imag - y.real * x.imag) / length / length)


# ---- lengths -----------------------------------------------------------------------------


def _hypot_share(g: Any, z: Any, x: Any) -> Any:
    """g x / z, and 0 where z = 0, to all orders."""
    zero = equal(z, 0.0)
    return where(zero, 0.0, g) * (x / where(zero, 1.0, z))


@declare(
    numpy=("numpy.hypot",),
    ulps=1.25,
    cost=5.0,
    backward=(lambda g, z, x, y: _hypot_share(g, z, x), lambda g, z, x, y: _hypot_share(g, z, y)),
    reads="z x y",
    examples=binary(kind="distinct"),
)
def hypot(x: Any, y: Any) -> Any:
    """z = √(x² + y²), without overflow on the way; gradient 0 at (0, 0)."""
    z = np.hypot(x.real, y.real)
    if not (np.iscomplexobj(x) or np.iscomplexobj(y)):
        return z
    length = np.where(z == 0.0, 1.0, z)
    return z + 1j * (x.imag * (x.real / length) + y.imag * (y.real / length))


# ---- hyperbolic --------------------------------------------------------------------------


def _sinh_backward(g: Any, z: Any, x: Any) -> Any:
    return g * cosh(x)


@declare(
    numpy=("numpy.sinh",),
    ulps=1.9,
    cost=8.0,
    backward=_sinh_backward,
    reads="x",
    examples=unary(),
)
def sinh(x: Any) -> Any:
    """z = sinh x = (e^x - e^-x) / 2."""
    return np.sinh(x)


@declare(
    numpy=("numpy.cosh",),
    ulps=1.75,
    cost=6.0,
    backward=lambda g, z, x: g * sinh(x),
    reads="x",
    examples=unary(),
)
def cosh(x: Any) -> Any:
    """z = cosh x = (e^x + e^-x) / 2."""
    return np.cosh(x)


def _arcsinh_backward(g: Any, z: Any, x: Any) -> Any:
    return g / hypot(1.0, x)


@declare(
    numpy=("numpy.arcsinh",),
    ulps=2.0,
    cost=14.0,
    backward=_arcsinh_backward,
    reads="x",
    examples=unary(-4.0, 4.0),
)
def arcsinh(x: Any) -> Any:
    """z = arcsinh x = ln(x + √(1 + x²))."""
    return np.arcsinh(x)


@declare(
    numpy=("numpy.arccosh",),
    ulps=2.75,
    domain=((1.0, math.inf),),
    cost=13.0,
    backward=lambda g, z, x: g / (sqrt(x - 1.0) * sqrt(x + 1.0)),
    reads="x",
    examples=unary(1.2, 4.0),
)
def arccosh(x: Any) -> Any:
    """z = arccosh x = ln(x + √(x² - 1)); infinite slope at 1."""
    return np.arccosh(x)


@declare(
    numpy=("numpy.arctanh",),
    ulps=2.2,
    domain=((-1.0, 1.0),),
    cost=11.0,
    backward=lambda g, z, x: g / ((1.0 - x) * (1.0 + x)),
    reads="x",
    examples=unary(-0.9, 0.9),
)
def arctanh(x: Any) -> Any:
    """z = arctanh x = ½ ln((1 + x) / (1 - x))."""
    return np.arctanh(x)


# ---- units -------------------------------------------------------------------------------


@numpy_name("numpy.deg2rad", "numpy.radians")
def _deg2rad(x: Any) -> Any:
    """z = x π / 180: radians from degrees."""
    return multiply(x, math.pi / 180.0)


@numpy_name("numpy.rad2deg", "numpy.degrees")
def _rad2deg(x: Any) -> Any:
    """z = x 180 / π: degrees from radians."""
    return multiply(x, 180.0 / math.pi)
