"""Norms, conditions and ranks. At 0, where a norm has no gradient, it is 0: the subgradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.declare import numpy_name
from autodiff.errors import ShapeError
from autodiff.ops.arguments import axis_of, brief, flag, operand, several
from autodiff.ops.elementwise import abs as magnitude
from autodiff.ops.elementwise import equal, greater, where
from autodiff.ops.elementwise import sqrt as root
from autodiff.ops.linalg.lu import inv
from autodiff.ops.linalg.matrices import matrix
from autodiff.ops.linalg.singular import svdvals
from autodiff.ops.powers import power
from autodiff.ops.reduce import max as largest
from autodiff.ops.reduce import min as least
from autodiff.ops.reduce import sum as total
from autodiff.ops.shape import expand_dims, reshape, transpose
from autodiff.refusal import refusal

__all__ = ["cond", "matrix_rank", "norm"]

_EPSILON = float(np.finfo(np.float64).eps)


def _root(x: Any) -> Any:
    """√x, whose gradient is 0 at 0."""
    nothing = equal(x, 0.0)
    return where(nothing, 0.0, root(where(nothing, 1.0, x)))


def _power(x: Any, exponent: float) -> Any:
    """x to a power, of x >= 0; its gradient is 0 at 0."""
    nothing = equal(x, 0.0)
    return where(nothing, 0.0, power(where(nothing, 1.0, x), exponent))


def _of_vectors(name: str, x: Any, order: Any, axis: tuple[int, ...]) -> Any:
    """The norm of the elements along axes, which stay as axes of size 1."""
    if order is None or order == 2:
        return _root(total(x * x, axis=axis, keepdims=True))
    if isinstance(order, str) or not isinstance(order, (int, float, np.number)):
        raise refusal(ShapeError, f"{name}: {brief(order)} is no norm of vectors", x=x)
    if math.isinf(order):
        return (largest if order > 0 else least)(magnitude(x), axis=axis, keepdims=True)
    if order == 0:
        return total(1.0 - equal(x, 0.0), axis=axis, keepdims=True)
    if order == 1:
        return total(magnitude(x), axis=axis, keepdims=True)
    order = float(order)
    if order > 0.0:
        powers = _power(magnitude(x), order)
        return _power(total(powers, axis=axis, keepdims=True), 1.0 / order)
    return power(total(power(magnitude(x), order), axis=axis, keepdims=True), 1.0 / order)


def _of_matrices(name: str, x: Any, order: Any, rows: int, columns: int) -> Any:
    """The norm of matrices along two axes, which stay as axes of size 1."""
    if order is None or order == "fro":
        return _root(total(x * x, axis=(rows, columns), keepdims=True))
    if order in (1, -1, math.inf, -math.inf):
        first, second = (rows, columns) if order in (1, -1) else (columns, rows)
        sums = total(magnitude(x), axis=first, keepdims=True)
        return (largest if order > 0 else least)(sums, axis=second, keepdims=True)
    if order not in ("nuc", 2, -2):
        raise refusal(ShapeError, f"{name}: {brief(order)} is no norm of matrices", x=x)
    n = len(x.shape)
    others = [a for a in range(n) if a not in (rows, columns)]
    s = svdvals(transpose(x, (*others, rows, columns)))
    reduction = total if order == "nuc" else largest if order == 2 else least
    found = reduction(s, axis=-1)
    return reshape(found, [1 if a in (rows, columns) else m for a, m in enumerate(x.shape)])


def _norm(name: str, x: Any, order: Any, axis: Any, keepdims: Any) -> Any:
    x = operand(name, x)
    kept = flag(name, "keepdims", keepdims)
    n = len(x.shape)
    if axis is None:
        if order is None or n == 1:
            axes = tuple(range(n))
            found = _of_vectors(name, x, order, axes)
            return found if kept else reshape(found, ())
        axes = tuple(range(n))
    else:
        items = several(axis)
        axes = tuple([axis_of(name, x, a) for a in ((axis,) if items is None else items)])
    if len(axes) == 1:
        found = _of_vectors(name, x, order, axes)
    elif len(axes) == 2 and axes[0] != axes[1]:
        found = _of_matrices(name, x, order, *axes)
    else:
        raise refusal(
            ShapeError,
            f"{name}: x has shape {x.shape}; a norm is along one axis or two, not {brief(axes)}",
            x=x,
        )
    return found if kept else reshape(found, [m for a, m in enumerate(x.shape) if a not in axes])


@numpy_name("numpy.linalg.norm")
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """z = the norm of x, of vectors along an axis, or of matrices along two.

    ord : of vectors any number, inf and -inf; of matrices 1, -1, 2, -2, inf, -inf, "fro" and "nuc".
    The gradient is 0 where it is not defined because x is 0. Order 0 counts and has no gradient.
    """
    return _norm("norm", x, ord, axis, keepdims)


@numpy_name("scipy.linalg.norm")
def _norm_of_scipy(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return _norm("norm", a, ord, axis, keepdims)


@numpy_name("numpy.linalg.vector_norm")
def _vector_norm(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = operand("vector_norm", x)
    items = several(axis)
    given = (axis,) if items is None else items
    axes = tuple(range(len(x.shape)))
    if axis is not None:
        axes = tuple([axis_of("vector_norm", x, a) for a in given])
    found = _of_vectors("vector_norm", x, ord, axes)
    if flag("vector_norm", "keepdims", keepdims):
        return found
    return reshape(found, [m for a, m in enumerate(x.shape) if a not in axes])


@numpy_name("numpy.linalg.matrix_norm")
def _matrix_norm(x: Any, keepdims: bool = False, ord: Any = "fro") -> Any:
    return _norm("matrix_norm", matrix("matrix_norm", x, "x"), ord, (-2, -1), keepdims)


@numpy_name("numpy.linalg.cond")
def cond(x: Any, p: Any = None) -> Any:
    """z = the condition of each matrix in a norm: of p = 2, by singular values; ‖A‖ ‖A⁻¹‖ else."""
    x = matrix("cond", x, "x")
    if p is None or p in (2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return _norm("cond", x, p, (-2, -1), False) * _norm("cond", inv(x), p, (-2, -1), False)


@numpy_name("numpy.linalg.matrix_rank")
def matrix_rank(A: Any, tol: Any = None, *, rtol: Any = None) -> Any:
    """z = how many singular values are greater than `tol`; no gradient.

    rtol : of the largest one; by default, rounding times the larger size of A.
    """
    A = operand("matrix_rank", A)
    if len(A.shape) < 2:
        return largest(1.0 - equal(A, 0.0))
    s = svdvals(A)
    if tol is None:
        relative = max(A.shape[-2:]) * _EPSILON if rtol is None else rtol
        tol = expand_dims(s[..., 0], -1) * relative if s.shape[-1] else 0.0
    elif np.shape(tol):
        tol = expand_dims(tol, -1)
    return total(greater(s, tol), axis=-1)
