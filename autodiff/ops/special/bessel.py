"""Bessel functions. There is no derivative by the order, and it is refused by name."""

# mypy: disable-error-code="has-type"
from __future__ import annotations

import math
from typing import Any

from autodiff.declare import numpy_name
from autodiff.op import Example, Sample
from autodiff.ops.elementwise import sign
from autodiff.ops.examples import unary
from autodiff.ops.special.scipy_functions import (
    no_rule,
    of_scipy,
    order_without_gradient,
    special_op,
)

__all__ = [
    "i0",
    "i0e",
    "i1",
    "i1e",
    "iv",
    "ive",
    "j0",
    "j1",
    "jn",
    "jv",
    "k0",
    "k0e",
    "k1",
    "k1e",
    "kv",
    "kve",
    "y0",
    "y1",
    "yv",
]

_POSITIVE = (0.0, math.inf)


# ---- of orders 0 and 1 -----------------------------------------------------------------


@special_op(
    numpy=("scipy.special.i0", "numpy.i0"),
    backward=lambda g, z, x: g * i1(x),
    reads="x",
    examples=unary(),
)
def i0(x: Any) -> Any:
    """z = I_0(x)."""
    return of_scipy("i0")(x)


@special_op(
    numpy=("scipy.special.i1",),
    backward=lambda g, z, x: g * (0.5 * (i0(x) + iv(2.0, x))),
    reads="x",
    examples=unary(),
)
def i1(x: Any) -> Any:
    """z = I_1(x)."""
    return of_scipy("i1")(x)


@special_op(
    numpy=("scipy.special.i0e",),
    backward=lambda g, z, x: g * (i1e(x) - sign(x) * z),
    reads="z x",
    examples=unary(kind="distinct"),
)
def i0e(x: Any) -> Any:
    """z = e^-|x| I_0(x)."""
    return of_scipy("i0e")(x)


@special_op(
    numpy=("scipy.special.i1e",),
    backward=lambda g, z, x: g * (0.5 * (i0e(x) + ive(2.0, x)) - sign(x) * z),
    reads="z x",
    examples=unary(kind="distinct"),
)
def i1e(x: Any) -> Any:
    """z = e^-|x| I_1(x)."""
    return of_scipy("i1e")(x)


@special_op(
    numpy=("scipy.special.j0",), backward=lambda g, z, x: -(g * j1(x)), reads="x", examples=unary()
)
def j0(x: Any) -> Any:
    """z = J_0(x)."""
    return of_scipy("j0")(x)


@special_op(
    numpy=("scipy.special.j1",),
    backward=lambda g, z, x: g * (0.5 * (j0(x) - jv(2.0, x))),
    reads="x",
    examples=unary(),
)
def j1(x: Any) -> Any:
    """z = J_1(x)."""
    return of_scipy("j1")(x)


@special_op(
    numpy=("scipy.special.y0",),
    domain=(_POSITIVE,),
    backward=lambda g, z, x: -(g * y1(x)),
    reads="x",
    examples=unary(0.3, 5.0),
)
def y0(x: Any) -> Any:
    """z = Y_0(x)."""
    return of_scipy("y0")(x)


@special_op(
    numpy=("scipy.special.y1",),
    domain=(_POSITIVE,),
    backward=lambda g, z, x: g * (0.5 * (y0(x) - yv(2.0, x))),
    reads="x",
    examples=unary(0.3, 5.0),
)
def y1(x: Any) -> Any:
    """z = Y_1(x)."""
    return of_scipy("y1")(x)


@special_op(
    numpy=("scipy.special.k0",),
    domain=(_POSITIVE,),
    backward=lambda g, z, x: -(g * k1(x)),
    reads="x",
    examples=unary(0.3, 5.0),
)
def k0(x: Any) -> Any:
    """z = K_0(x)."""
    return of_scipy("k0")(x)


@special_op(
    numpy=("scipy.special.k1",),
    domain=(_POSITIVE,),
    backward=lambda g, z, x: -(g * (0.5 * (k0(x) + kv(2.0, x)))),
    reads="x",
    examples=unary(0.3, 5.0),
)
def k1(x: Any) -> Any:
    """z = K_1(x)."""
    return of_scipy("k1")(x)


@special_op(
    numpy=("scipy.special.k0e",),
    domain=(_POSITIVE,),
    backward=lambda g, z, x: g * (z - k1e(x)),
    reads="z x",
    examples=unary(0.3, 5.0),
)
def k0e(x: Any) -> Any:
    """z = e^x K_0(x)."""
    return of_scipy("k0e")(x)


@special_op(
    numpy=("scipy.special.k1e",),
    domain=(_POSITIVE,),
    backward=lambda g, z, x: g * (z - 0.5 * (k0e(x) + kve(2.0, x))),
    reads="z x",
    examples=unary(0.3, 5.0),
)
def k1e(x: Any) -> Any:
    """z = e^x K_1(x)."""
    return of_scipy("k1e")(x)


# ---- of any order ----------------------------------------------------------------------


def _of_order(low: float = 0.3) -> dict[str, Any]:
    """What the records of functions of an order have in common."""
    shapes = [((3, 4), (3, 4)), ((), (2, 3)), ((3, 1), (1, 4))]
    return {
        "domain": (_POSITIVE, _POSITIVE),
        "examples": [
            Example((Sample(v, 0.0, 4.0, "integer"), Sample(x, low, 5.0))) for v, x in shapes
        ],
    }


_NO_ORDER = no_rule("derivative of a Bessel function by its order v")


@special_op(
    backward=(_NO_ORDER, lambda g, z, v, x: g * (0.5 * (_iv(v - 1.0, x) + _iv(v + 1.0, x)))),
    reads="v x",
    **_of_order(),
)
def _iv(v: Any, x: Any) -> Any:
    """z = I_v(x)."""
    return of_scipy("iv")(v, x)


@special_op(
    backward=(
        _NO_ORDER,
        lambda g, z, v, x: g * (0.5 * (_ive(v - 1.0, x) + _ive(v + 1.0, x)) - sign(x) * z),
    ),
    reads="z v x",
    **_of_order(),
)
def _ive(v: Any, x: Any) -> Any:
    """z = e^-|x| I_v(x)."""
    return of_scipy("ive")(v, x)


@special_op(
    backward=(_NO_ORDER, lambda g, z, v, x: g * (0.5 * (_jv(v - 1.0, x) - _jv(v + 1.0, x)))),
    reads="v x",
    **_of_order(),
)
def _jv(v: Any, x: Any) -> Any:
    """z = J_v(x)."""
    return of_scipy("jv")(v, x)


@special_op(
    backward=(_NO_ORDER, lambda g, z, v, x: g * (0.5 * (_yv(v - 1.0, x) - _yv(v + 1.0, x)))),
    reads="v x",
    **_of_order(),
)
def _yv(v: Any, x: Any) -> Any:
    """z = Y_v(x)."""
    return of_scipy("yv")(v, x)


@special_op(
    backward=(_NO_ORDER, lambda g, z, v, x: -(g * (0.5 * (_kv(v - 1.0, x) + _kv(v + 1.0, x))))),
    reads="v x",
    **_of_order(),
)
def _kv(v: Any, x: Any) -> Any:
    """z = K_v(x)."""
    return of_scipy("kv")(v, x)


@special_op(
    backward=(
        _NO_ORDER,
        lambda g, z, v, x: g * (z - 0.5 * (_kve(v - 1.0, x) + _kve(v + 1.0, x))),
    ),
    reads="z v x",
    **_of_order(),
)
def _kve(v: Any, x: Any) -> Any:
    """z = e^x K_v(x)."""
    return of_scipy("kve")(v, x)


@numpy_name("scipy.special.iv")
def iv(v: Any, z: Any) -> Any:
    """z = I_v(z). GradientError if the order needs a gradient."""
    order_without_gradient("iv", "v", v)
    return _iv(v, z)


@numpy_name("scipy.special.ive")
def ive(v: Any, z: Any) -> Any:
    """z = e^-|z| I_v(z). GradientError if the order needs a gradient."""
    order_without_gradient("ive", "v", v)
    return _ive(v, z)


@numpy_name("scipy.special.jv", "scipy.special.jn")
def jv(v: Any, z: Any) -> Any:
    """z = J_v(z). GradientError if the order needs a gradient."""
    order_without_gradient("jv", "v", v)
    return _jv(v, z)


jn = jv


@numpy_name("scipy.special.yv", "scipy.special.yn")
def yv(v: Any, z: Any) -> Any:
    """z = Y_v(z). GradientError if the order needs a gradient."""
    order_without_gradient("yv", "v", v)
    return _yv(v, z)


@numpy_name("scipy.special.kv", "scipy.special.kn")
def kv(v: Any, z: Any) -> Any:
    """z = K_v(z). GradientError if the order needs a gradient."""
    order_without_gradient("kv", "v", v)
    return _kv(v, z)


@numpy_name("scipy.special.kve")
def kve(v: Any, z: Any) -> Any:
    """z = e^z K_v(z). GradientError if the order needs a gradient."""
    order_without_gradient("kve", "v", v)
    return _kve(v, z)
