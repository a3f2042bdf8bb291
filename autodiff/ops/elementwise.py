"""Elementwise ops: arithmetic, functions of one variable, choices between values.

Operands broadcast as NumPy's do. The formulas are the stable ones: none overflows on the
way to a result that is representable. Rules use ``.real`` in comparisons, so that they
also run on complex numbers (a complex step does not change which branch is taken).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.array import as_float64, is_operand
from autodiff.declare import declare, numpy_name
from autodiff.op import BoundOp, Example, Sample

__all__ = [
    "abs",
    "add",
    "cos",
    "divide",
    "equal",
    "exp",
    "expm1",
    "float_power",
    "greater",
    "greater_equal",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "power",
    "relu",
    "sigmoid",
    "sign",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "stop_gradient",
    "subtract",
    "tanh",
    "where",
]


INF = float("inf")


def _unary(low: float = -2.0, high: float = 2.0, kind: str = "real") -> list[Example]:
    return [Example((Sample(shape, low, high, kind),)) for shape in [(3, 4), (5,), ()]]


def _binary(low: float = -2.0, high: float = 2.0, kind: str = "real") -> list[Example]:
    shapes = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 3), ())]
    return [Example((Sample(x, -2.0, 2.0, kind), Sample(y, low, high, kind))) for x, y in shapes]


# ---- arithmetic -----------------------------------------------------------------------
# The identities are asked by the passes of programs; `e` is what emits instructions there.


def _add_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    x, y = inputs
    if e.is_constant(y, 0.0) and len(y.shape) <= len(x.shape) and y.size <= 1:
        return x
    if e.is_constant(x, 0.0) and len(x.shape) <= len(y.shape) and x.size <= 1:
        return y
    return None


def _subtract_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    x, y = inputs
    return x if e.is_constant(y, 0.0) and y.shape == () else None


def _multiply_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    x, y = inputs
    shape = bound.shape(x.shape, y.shape)
    if e.is_constant(y, 1.0) and x.shape == shape:
        return x
    if e.is_constant(x, 1.0) and y.shape == shape:
        return y
    return None


def _divide_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    x, y = inputs
    return x if e.is_constant(y, 1.0) and y.shape == () else None


def _negative_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    return inputs[0].inputs[0] if inputs[0].op == bound.name else None


def _stop_gradient_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    return inputs[0]


@declare(
    numpy=("numpy.add",),
    identity=_add_identity,
    backward=(lambda g, z, x, y: g, lambda g, z, x, y: g),
    examples=_binary(),
)
def add(x: Any, y: Any) -> Any:
    """z = x + y."""
    return x + y


@declare(
    numpy=("numpy.subtract",),
    identity=_subtract_identity,
    backward=(lambda g, z, x, y: g, lambda g, z, x, y: -g),
    examples=_binary(),
)
def subtract(x: Any, y: Any) -> Any:
    """z = x - y."""
    return x - y


@declare(
    numpy=("numpy.multiply",),
    identity=_multiply_identity,
    backward=(lambda g, z, x, y: g * y, lambda g, z, x, y: g * x),
    reads="x y",
    examples=_binary(),
)
def multiply(x: Any, y: Any) -> Any:
    """z = x y, element by element."""
    return x * y


@declare(
    numpy=("numpy.divide",),
    cost=3.0,
    identity=_divide_identity,
    backward=(lambda g, z, x, y: g / y, lambda g, z, x, y: -(g * z / y)),
    reads="z y",
    examples=_binary(0.5, 2.0),
)
def divide(x: Any, y: Any) -> Any:
    """z = x / y."""
    return x / y


@declare(
    numpy=("numpy.negative",),
    identity=_negative_identity,
    backward=lambda g, z, x: -g,
    examples=_unary(),
)
def negative(x: Any) -> Any:
    """z = -x."""
    return -x


@declare(
    numpy=("numpy.square",), backward=lambda g, z, x: g * (x + x), reads="x", examples=_unary()
)
def square(x: Any) -> Any:
    """z = x²."""
    return x * x


# ---- powers ---------------------------------------------------------------------------
# x^0 is the constant 1, also at 0, where its slope 0 x^-1 would be 0 · inf: chosen, not multiplied.


def _power_arguments(name: str, x: Any, exponent: Any) -> Any:
    if is_operand(exponent) or isinstance(exponent, (list, tuple)):
        return float_power(x, exponent), None  # which knows what to do with lists of nodes
    p = as_float64(exponent, f"{name}: the exponent")
    if p.ndim:
        return float_power(x, p), None
    return (square(x), None) if p == 2.0 else ((x,), {"exponent": float(p)})


def _power_backward(g: Any, z: Any, x: Any, *, exponent: float) -> Any:
    if exponent == 0.0:
        return where(0.0, g, 0.0)
    return g * (exponent * power(x, exponent - 1.0))


@declare(
    numpy=("numpy.power", "numpy.float_power"),
    arguments=_power_arguments,
    ulps=1.0,
    domain=((0.0, INF),),
    cost=50.0,
    backward=_power_backward,
    reads="x",
    examples=[
        Example((Sample((3, 4), 0.3, 2.0),), {"exponent": 2.5}),
        Example((Sample((3, 4), -2.0, 2.0),), {"exponent": 3.0}),
        Example((Sample((5,), 0.5, 2.0),), {"exponent": -1.0}),
        Example((Sample((5,), -2.0, 2.0),), {"exponent": 0.0}),
    ],
)
def power(x: Any, *, exponent: float) -> Any:
    """z = x^p; NaN for x < 0 and p not an integer.

    exponent : a number, an array or a node, which then gets its gradient too: see
        :func:`float_power`.
    """
    return _complex_power(x, exponent) if np.iscomplexobj(x) else x**exponent


def _float_power_gx(g: Any, z: Any, x: Any, exponent: Any) -> Any:
    # Where p = 0 the slope is 0. Only where it would not come out so (1/x or g infinite or NaN) are
    # g and x replaced: elsewhere the derivative by p of this rule is still needed.
    safe = equal(where(equal(exponent, 0.0), 0.0 * (g + 1.0 / x), 0.0), 0.0)
    return where(safe, g, 0.0) * (exponent * float_power(where(safe, x, 1.0), exponent - 1.0))


def _float_power_gp(g: Any, z: Any, x: Any, exponent: Any) -> Any:
    # z ln x, with its limit 0 where x = 0 and p >= 0, and where x^p has gone to 0; NaN for x < 0.
    flat = where(equal(x, 0.0), greater_equal(1.0, z * z), equal(z, 0.0) * greater(x, 0.0))
    return where(flat, 0.0, g) * (where(flat, 0.0, z) * log(where(flat, 1.0, x)))


@declare(
    ulps=1.0,
    domain=((0.0, INF), (-INF, INF)),
    cost=50.0,
    backward=(_float_power_gx, _float_power_gp),
    reads="z x exponent",
    examples=[
        Example((Sample(x, 0.3, 2.0), Sample(p, -2.0, 3.0)))
        for x, p in [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 3), ())]
    ],
)
def float_power(x: Any, exponent: Any) -> Any:
    """z = x^p, element by element; NaN for x < 0 and p not an integer.

    The gradient of p is z ln x: 0 at x = 0 for p >= 0, and NaN for x < 0, where x^p is defined at
    single points only.
    """
    complex_ = np.iscomplexobj(x) or np.iscomplexobj(exponent)
    return _complex_power(x, exponent) if complex_ else np.power(x, exponent)


def _complex_power(x: Any, p: Any) -> Any:
    """Whole powers by squaring, since e^(p ln x) turns rounding errors of Re z into Im z."""
    x, p = np.broadcast_arrays(np.asarray(x, np.complex128), p)
    whole = (p.imag == 0.0) & (p.real == np.rint(p.real)) & (np.abs(p.real) < 2.0**31)
    left = np.where(whole, np.abs(p.real), 0.0).astype(np.int64)
    z, square_ = np.ones(x.shape, np.complex128), x
    while left.any():
        z = np.where(left & 1, z * square_, z)
        left >>= 1
        square_ = square_ * square_ if left.any() else square_
    return np.where(whole, np.where(p.real < 0.0, 1.0 / z, z), np.power(x, p))


# ---- functions of one variable --------------------------------------------------------


@declare(
    numpy=("numpy.exp",),
    ulps=1.05,
    cost=5.0,
    backward=lambda g, z, x: g * z,
    reads="z",
    examples=_unary(),
)
def exp(x: Any) -> Any:
    """z = e^x."""
    return np.exp(x)


@declare(
    numpy=("numpy.log",),
    ulps=1.0,
    domain=((0.0, INF),),
    cost=6.0,
    backward=lambda g, z, x: g / x,
    reads="x",
    examples=_unary(0.2, 3.0),
)
def log(x: Any) -> Any:
    """z = ln x."""
    return np.log(x)


@declare(
    numpy=("numpy.log1p",),
    ulps=1.0,
    domain=((-1.0, INF),),
    cost=8.0,
    backward=lambda g, z, x: g / (1.0 + x),
    reads="x",
    examples=_unary(-0.7, 3.0),
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
    examples=_unary(),
)
def expm1(x: Any) -> Any:
    """z = e^x - 1, exact for small x."""
    return np.expm1(x)


@declare(
    numpy=("numpy.sqrt",),
    domain=((0.0, INF),),
    cost=4.0,
    backward=lambda g, z, x: 0.5 * g / z,
    reads="z",
    examples=_unary(0.2, 3.0),
)
def sqrt(x: Any) -> Any:
    """z = √x."""
    return np.sqrt(x)


def _sin_backward(g: Any, z: Any, x: Any) -> Any:
    return g * cos(x)


@declare(
    numpy=("numpy.sin",), ulps=1.0, cost=10.0, backward=_sin_backward, reads="x", examples=_unary()
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
    examples=_unary(),
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
    examples=_unary(),
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
    examples=_unary(-4.0, 4.0),
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
    examples=_unary(-4.0, 4.0),
)
def softplus(x: Any) -> Any:
    """z = ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)."""
    return np.where(x.real >= 0.0, x, 0.0) + np.log1p(np.exp(-_magnitude(x)))


def _relu_backward(g: Any, z: Any, x: Any) -> Any:
    return where(greater(z, 0.0), g, 0.0)


@declare(backward=_relu_backward, reads="z", examples=_unary(kind="distinct"))
def relu(x: Any) -> Any:
    """z = max(x, 0), with gradient 0 at x = 0; NaN stays NaN."""
    return np.where(x.real <= 0.0, 0.0, x)


def _abs_backward(g: Any, z: Any, x: Any) -> Any:
    return where(equal(x, 0.0), 0.0, g * sign(x))


@declare(
    numpy=("numpy.absolute", "numpy.fabs"),
    backward=_abs_backward,
    reads="x",
    examples=_unary(kind="distinct"),
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
    examples=_binary(kind="distinct"),
)
def maximum(x: Any, y: Any) -> Any:
    """z = max(x, y), element by element; NaN if either is NaN."""
    return np.where((x.real >= y.real) | np.isnan(x), x, y)


@declare(
    numpy=("numpy.minimum",),
    backward=(lambda g, z, x, y: _share(g, y, x), lambda g, z, x, y: _share(g, x, y)),
    reads="x y",
    examples=_binary(kind="distinct"),
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


@declare(numpy=("numpy.sign",), backward=None, examples=_unary(kind="distinct"))
def sign(x: Any) -> Any:
    """z = -1, 0 or 1, the sign of x; no gradient."""
    return np.sign(x.real)


@declare(numpy=("numpy.greater",), backward=(None, None), examples=_binary())
def greater(x: Any, y: Any) -> Any:
    """z = 1 where x > y, else 0; no gradient."""
    return (x.real > y.real).astype(np.float64)


@declare(numpy=("numpy.greater_equal",), backward=(None, None), examples=_binary())
def greater_equal(x: Any, y: Any) -> Any:
    """z = 1 where x >= y, else 0; no gradient."""
    return (x.real >= y.real).astype(np.float64)


@declare(numpy=("numpy.equal",), backward=(None, None), examples=_binary())
def equal(x: Any, y: Any) -> Any:
    """z = 1 where x = y, else 0; no gradient."""
    return (x.real == y.real).astype(np.float64)


@numpy_name("numpy.not_equal")
def not_equal(x: Any, y: Any) -> Any:
    """z = 1 where x is not y, else 0; no gradient. NaN differs from everything."""
    return subtract(1.0, equal(x, y))


@declare(identity=_stop_gradient_identity, backward=None, examples=_unary(), moves=True)
def stop_gradient(x: Any) -> Any:
    """z = x, but no gradient passes."""
    return x
