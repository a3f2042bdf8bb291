"""Elementwise ops: functions of one variable, choices between values, comparisons.

Operands broadcast as NumPy's do. The formulas are the stable ones: none overflows on the
way to a result that is representable. Rules use ``.real`` in comparisons, so that they
also run on complex numbers (a complex step does not change which branch is taken).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.declare import declare
from autodiff.op import BoundOp, Example, Sample
from autodiff.ops.examples import binary, unary

__all__ = [
    "abs",
    "cos",
    "equal",
    "exp",
    "expm1",
    "greater",
    "greater_equal",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "not_equal",
    "relu",
    "sigmoid",
    "sign",
    "sin",
    "softplus",
    "sqrt",
    "stop_gradient",
    "tanh",
    "where",
]


# ---- functions of one variable --------------------------------------------------------


@declare(
    numpy=("numpy.exp",),
    ulps=1.05,
    cost=5.0,
    backward=lambda g, z, x: g * z,
    reads="z",
    examples=unary(),
)
def exp(x: Any) -> Any:
    """z = e^x."""
    return np.exp(x)


@declare(
    numpy=("numpy.log",),
    ulps=1.0,
    domain=((0.0, math.inf),),
    cost=6.0,
    backward=lambda g, z, x: g / x,
    reads="x",
    examples=unary(0.2, 3.0),
)
def log(x: Any) -> Any:
    """z = ln x."""
    return np.log(x)


@declare(
    numpy=("numpy.log1p",),
    ulps=1.0,
    domain=((-1.0, math.inf),),
    cost=8.0,
    backward=lambda g, z, x: g / (1.0 + x),
    reads="x",
    examples=unary(-0.7, 3.0),
)
def log1p(x: Any) -> Any:
    """z = ln(1 + x), exact for small x."""
    return np.log1p(x)


@declare(
    numpy=("numpy.expm1",),
    ulps=1.85,
    cost=8.0,
    backward=lambda g, z, x: g * (z + 1.0),
    reads="z",
    examples=unary(),
)
def expm1(x: Any) -> Any:
    """z = e^x - 1, exact for small x."""
    return np.expm1(x)


@declare(
    numpy=("numpy.sqrt",),
    domain=((0.0, math.inf),),
    cost=4.0,
    backward=lambda g, z, x: 0.5 * g / z,
    reads="z",
    examples=unary(0.2, 3.0),
)
def sqrt(x: Any) -> Any:
    """z = √x."""
    return np.sqrt(x)


def _sin_backward(g: Any, z: Any, x: Any) -> Any:
    return g * cos(x)


@declare(
    numpy=("numpy.sin",), ulps=1.0, cost=10.0, backward=_sin_backward, reads="x", examples=unary()
)
def sin(x: Any) -> Any:
    """z = sin x."""
    return np.sin(x)


@declare(
    numpy=("numpy.cos",),
    ulps=1.0,
    cost=10.0,
    backward=lambda g, z, x: -(g * sin(x)),
    reads="x",
    examples=unary(),
)
def cos(x: Any) -> Any:
    """z = cos x."""
    return np.cos(x)


@declare(
    numpy=("numpy.tanh",),
    ulps=2.5,
    cost=7.0,
    backward=lambda g, z, x: g * (1.0 - z * z),
    reads="z",
    examples=unary(),
)
def tanh(x: Any) -> Any:
    """z = tanh x."""
    return np.tanh(x)


@declare(
    numpy=("scipy.special.expit",),
    ulps=2.6,
    cost=7.0,
    backward=lambda g, z, x: g * (z * (1.0 - z)),
    reads="z",
    examples=unary(-4.0, 4.0),
)
def sigmoid(x: Any) -> Any:
    """z = 1 / (1 + e^-x), without overflow for large |x|."""
    e = np.exp(-_magnitude(x))  # in (0, 1]
    return np.where(x.real >= 0.0, 1.0, e) / (1.0 + e)


@declare(
    ulps=2.0,
    cost=12.0,
    backward=lambda g, z, x: g * sigmoid(x),
    reads="x",
    examples=unary(-4.0, 4.0),
)
def softplus(x: Any) -> Any:
    """z = ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)."""
    return np.where(x.real >= 0.0, x, 0.0) + np.log1p(np.exp(-_magnitude(x)))


def _relu_backward(g: Any, z: Any, x: Any) -> Any:
    return where(greater(z, 0.0), g, 0.0)


@declare(backward=_relu_backward, reads="z", examples=unary(kind="distinct"))
def relu(x: Any) -> Any:
    """z = max(x, 0), with gradient 0 at x = 0; NaN stays NaN."""
    return np.where(x.real <= 0.0, 0.0, x)


def _abs_backward(g: Any, z: Any, x: Any) -> Any:
    return where(equal(x, 0.0), 0.0, g * sign(x))


@declare(
    numpy=("numpy.absolute", "numpy.fabs"),
    backward=_abs_backward,
    reads="x",
    examples=unary(kind="distinct"),
)
def abs(x: Any) -> Any:
    """z = |x|, with gradient 0 at x = 0."""
    return _magnitude(x)


def _magnitude(x: Any) -> Any:
    return np.abs(x) if not np.iscomplexobj(x) else np.where(x.real < 0.0, -x, x)


# ---- choices --------------------------------------------------------------------------
# Their gradients choose too: g times a mask would be NaN where g is infinite and the mask 0.
# At a tie the gradient is shared: half to each side, as in PyTorch and JAX.


def _share(g: Any, x: Any, y: Any) -> Any:
    """`g` where x > y, half of it where x = y, 0 where x < y."""
    return where(greater(x, y), g, where(equal(x, y), 0.5 * g, 0.0))


@declare(
    numpy=("numpy.maximum",),
    backward=(lambda g, z, x, y: _share(g, x, y), lambda g, z, x, y: _share(g, y, x)),
    reads="x y",
    examples=binary(kind="distinct"),
)
def maximum(x: Any, y: Any) -> Any:
    """z = max(x, y), element by element; NaN if either is NaN."""
    return np.where((x.real >= y.real) | np.isnan(x), x, y)


@declare(
    numpy=("numpy.minimum",),
    backward=(lambda g, z, x, y: _share(g, y, x), lambda g, z, x, y: _share(g, x, y)),
    reads="x y",
    examples=binary(kind="distinct"),
)
def minimum(x: Any, y: Any) -> Any:
    """z = min(x, y), element by element; NaN if either is NaN."""
    return np.where((x.real <= y.real) | np.isnan(x), x, y)


def _where_gx(g: Any, z: Any, condition: Any, x: Any, y: Any) -> Any:
    return where(condition, g, 0.0)


def _where_gy(g: Any, z: Any, condition: Any, x: Any, y: Any) -> Any:
    return where(condition, 0.0, g)


@declare(
    backward=(None, _where_gx, _where_gy),
    linear=((1, 2),),
    reads="condition",
    examples=[
        Example((Sample((3, 4), kind="boolean"), Sample((3, 4)), Sample((3, 4)))),
        Example((Sample((3, 1), kind="boolean"), Sample((4,)), Sample(()))),
    ],
)
def where(condition: Any, x: Any, y: Any) -> Any:
    """z = x where the condition is not 0, else y."""
    return np.where(condition.real != 0.0, x, y)


# ---- comparisons: 1.0 or 0.0, without gradient ----------------------------------------


@declare(numpy=("numpy.sign",), backward=None, examples=unary(kind="distinct"))
def sign(x: Any) -> Any:
    """z = -1, 0 or 1, the sign of x; no gradient."""
    return np.sign(x.real)


@declare(numpy=("numpy.greater",), backward=(None, None), examples=binary())
def greater(x: Any, y: Any) -> Any:
    """z = 1 where x > y, else 0; no gradient."""
    return (x.real > y.real).astype(np.float64)


@declare(numpy=("numpy.greater_equal",), backward=(None, None), examples=binary())
def greater_equal(x: Any, y: Any) -> Any:
    """z = 1 where x >= y, else 0; no gradient."""
    return (x.real >= y.real).astype(np.float64)


@declare(numpy=("numpy.equal",), backward=(None, None), examples=binary())
def equal(x: Any, y: Any) -> Any:
    """z = 1 where x = y, else 0; no gradient."""
    return (x.real == y.real).astype(np.float64)


@declare(numpy=("numpy.not_equal",), backward=(None, None), examples=binary())
def not_equal(x: Any, y: Any) -> Any:
    """z = 1 where x is not y, else 0; no gradient. NaN differs from everything."""
    return (x.real != y.real).astype(np.float64)


def _stop_gradient_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    return inputs[0]


@declare(identity=_stop_gradient_identity, backward=None, examples=unary(), moves=True)
def stop_gradient(x: Any) -> Any:
    """z = x, but no gradient passes."""
    return x
