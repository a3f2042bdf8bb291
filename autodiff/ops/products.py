"""Products of arrays: NumPy's dot, inner, outer, tensordot, kron and their like, and traces.

All are said with stacked matrix products, so that programs have them as such.
"""

from __future__ import annotations

import math
from typing import Any

from autodiff.array import Shape
from autodiff.declare import numpy_name
from autodiff.errors import ShapeError
from autodiff.ops import einsum as _einsum  # noqa: F401
from autodiff.ops.arguments import axis_of, brief, operand, several, whole_number
from autodiff.ops.arithmetic import multiply, subtract
from autodiff.ops.linear import matmul
from autodiff.ops.parts import concat
from autodiff.ops.reduce import sum as sum_over
from autodiff.ops.shape import reshape, transpose
from autodiff.refusal import refusal

__all__: list[str] = []


def _both(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    return operand(name, a, "a"), operand(name, b, "b")


# ---- sums of products -----------------------------------------------------------------


@numpy_name("numpy.dot")
def dot(a: Any, b: Any) -> Any:
    """z = a b, summed over the last axis of a and the last but one of b; of scalars, a product."""
    a, b = _both("dot", a, b)
    if not a.shape or not b.shape:
        return multiply(a, b)
    if len(a.shape) <= 2 and len(b.shape) <= 2:
        return matmul(a, b)
    return _contracted("dot", a, b, (len(a.shape) - 1,), (max(len(b.shape) - 2, 0),))


@numpy_name("numpy.inner")
def inner(a: Any, b: Any) -> Any:
    """z = a b, summed over the last axes of both; of scalars, a product."""
    a, b = _both("inner", a, b)
    if not a.shape or not b.shape:
        return multiply(a, b)
    if len(a.shape) == len(b.shape) == 1:
        return matmul(a, b)
    return _contracted("inner", a, b, (len(a.shape) - 1,), (len(b.shape) - 1,))


@numpy_name("numpy.vdot")
def vdot(a: Any, b: Any) -> Any:
    """z = Σ a b over all elements, row by row."""
    a, b = _both("vdot", a, b)
    return matmul(reshape(a, -1), reshape(b, -1))


@numpy_name("numpy.linalg.vecdot", "numpy.vecdot")
def vecdot(x1: Any, x2: Any, axis: int = -1) -> Any:
    """z = Σ x1 x2 over one axis; the others broadcast."""
    x1, x2 = operand("vecdot", x1, "x1"), operand("vecdot", x2, "x2")
    product = multiply(x1, x2)
    return sum_over(product, axis=axis_of("vecdot", product, axis))


@numpy_name("numpy.tensordot", "numpy.linalg.tensordot")
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """z = a b, summed over pairs of axes: the last of a and the first of b, or two lists."""
    a, b = _both("tensordot", a, b)
    n = whole_number(axes)
    if n is not None:
        if not 0 <= n <= min(len(a.shape), len(b.shape)):
            raise refusal(
                ShapeError,
                f"tensordot: axes={n}: a has shape {a.shape}, b has shape {b.shape}",
                a=a,
                b=b,
            )
        return _contracted(
            "tensordot", a, b, tuple(range(len(a.shape) - n, len(a.shape))), tuple(range(n))
        )
    pair = several(axes)
    if pair is None or len(pair) != 2:
        raise refusal(
            ShapeError,
            f"tensordot: axes are a number, or axes of a and axes of b, not {brief(axes)}",
            a=a,
            b=b,
        )
    of_a, of_b = (_axes_in_order(x, which) for x, which in zip((a, b), pair, strict=True))
    return _contracted("tensordot", a, b, of_a, of_b)


def _axes_in_order(x: Any, axes: Any) -> tuple[int, ...]:
    items = several(axes)
    items = (axes,) if items is None else items
    return tuple([axis_of("tensordot", x, axis) for axis in items])


def _contracted(name: str, a: Any, b: Any, of_a: tuple[int, ...], of_b: tuple[int, ...]) -> Any:
    """The sum of products over these axes, one matrix product."""
    a_shape, b_shape = a.shape, b.shape
    summed = [a_shape[i] for i in of_a]
    twice = len(set(of_a)) < len(of_a) or len(set(of_b)) < len(of_b)
    if twice or summed != [b_shape[i] for i in of_b]:
        raise refusal(
            ShapeError,
            f"{name}: axes {of_a} of a, of shape {a_shape}, do not fit axes {of_b} of b, of shape "
            f"{b_shape}",
            a=a,
            b=b,
        )
    rows = [i for i in range(len(a_shape)) if i not in of_a]
    columns = [i for i in range(len(b_shape)) if i not in of_b]
    k = math.prod(summed)
    m, n = math.prod(a_shape[i] for i in rows), math.prod(b_shape[i] for i in columns)
    x = _arranged(a, (*rows, *of_a), (m, k))
    y = _arranged(b, (*of_b, *columns), (k, n))
    shape = (*(a_shape[i] for i in rows), *(b_shape[i] for i in columns))
    return _arranged(matmul.normal(x, y), (0, 1), shape)


def _arranged(x: Any, order: tuple[int, ...], shape: Shape) -> Any:
    """x with its axes in this order, in another shape; ops that would change nothing are none."""
    if order != tuple(range(len(order))):
        x = transpose.normal(x, axes=order)
    return x if x.shape == shape else reshape.normal(x, shape=shape)


# ---- products of all pairs ------------------------------------------------------------


@numpy_name("numpy.outer")
def outer(a: Any, b: Any) -> Any:
    """z[i, j] = a[i] b[j], of operands that are read row by row."""
    a, b = _both("outer", a, b)
    return multiply(reshape(a, (-1, 1) if a.shape else (1, 1)), reshape(b, (1, math.prod(b.shape))))


@numpy_name("numpy.linalg.outer")
def linalg_outer(x1: Any, x2: Any) -> Any:
    """z[i, j] = x1[i] x2[j], of two vectors."""
    return outer(x1, x2)


@numpy_name("numpy.kron")
def kron(a: Any, b: Any) -> Any:
    """z = the Kronecker product: each element of a, times b."""
    a, b = _both("kron", a, b)
    n = max(len(a.shape), len(b.shape))
    a_shape, b_shape = _padded(a.shape, n), _padded(b.shape, n)
    z = multiply(
        reshape(a, [m for size in a_shape for m in (size, 1)]),
        reshape(b, [m for size in b_shape for m in (1, size)]),
    )
    return reshape(z, [p * q for p, q in zip(a_shape, b_shape, strict=True)])


def _padded(shape: Shape, n: int) -> Shape:
    return (1,) * (n - len(shape)) + shape


@numpy_name("numpy.cross")
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """z = a × b along an axis of size 3, or 2: then a third component of 0 is understood."""
    a, b = _both("cross", a, b)
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = _axis_last("cross", a, axisa), _axis_last("cross", b, axisb)
    sizes = a.shape[-1], b.shape[-1]
    if any(n not in (2, 3) for n in sizes):
        raise refusal(
            ShapeError, f"cross: vectors have 2 or 3 components, not {sizes[0]} and {sizes[1]}",
            a=a, b=b,
        )  # fmt: skip
    x, y = ([v[..., i : i + 1] for i in range(v.shape[-1])] for v in (a, b))
    last = subtract(multiply(x[0], y[1]), multiply(x[1], y[0]))
    if sizes == (2, 2):
        return reshape(last, last.shape[:-1])
    first = _minor(x, y, 1, 2)
    second = _minor(x, y, 2, 0)
    z = concat([first, second, last], axis=-1)
    place = axis_of("cross", z, axisc)
    order = list(range(len(z.shape) - 1))
    order.insert(place, len(z.shape) - 1)
    return transpose(z, order)


@numpy_name("numpy.linalg.cross")
def linalg_cross(x1: Any, x2: Any, axis: int = -1) -> Any:
    """z = x1 × x2 along an axis of size 3."""
    return cross(x1, x2, axis=axis)


def _axis_last(name: str, x: Any, axis: int) -> Any:
    at = axis_of(name, x, axis)
    return transpose(x, [i for i in range(len(x.shape)) if i != at] + [at])


def _minor(x: list[Any], y: list[Any], i: int, j: int) -> Any:
    """x[i] y[j] - x[j] y[i]; a third component that is not there is 0."""
    plus: Any = multiply(x[i], y[j]) if i < len(x) and j < len(y) else None
    minus: Any = multiply(x[j], y[i]) if j < len(x) and i < len(y) else None
    if plus is None:
        return -minus
    return plus if minus is None else subtract(plus, minus)


# ---- traces ---------------------------------------------------------------------------


@numpy_name("numpy.trace")
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """z = Σ of a diagonal: of the elements [i, i + offset] of two axes."""
    return sum_over(_diagonal("trace", a, offset, axis1, axis2), axis=-1)


@numpy_name("numpy.linalg.trace")
def linalg_trace(x: Any, offset: int = 0) -> Any:
    """z = Σ of a diagonal of the last two axes."""
    return trace(x, offset, -2, -1)


def _diagonal(name: str, a: Any, offset: int, axis1: int, axis2: int) -> Any:
    """Elements [i, i + offset] of two axes, along a new last axis."""
    a = operand(name, a, "a")
    first, second = axis_of(name, a, axis1), axis_of(name, a, axis2)
    if first == second:
        raise refusal(ShapeError, f"{name}: axis1 and axis2 are the same axis {first}", a=a)
    shift = whole_number(offset)
    if shift is None:
        raise refusal(ShapeError, f"{name}: offset {brief(offset)} is not an integer", a=a)
    others = [i for i in range(len(a.shape)) if i not in (first, second)]
    m, n = a.shape[first], a.shape[second]
    count = max(0, min(m, n - shift) if shift >= 0 else min(m + shift, n))
    flat = reshape(transpose(a, (*others, first, second)), [*(a.shape[i] for i in others), m * n])
    start = shift if shift >= 0 else -shift * n
    if count == 0:
        return flat[..., :0]
    return flat[..., start : start + (count - 1) * (n + 1) + 1 : n + 1]
