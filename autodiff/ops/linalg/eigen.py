"""Eigenvalues and eigenvectors of symmetric matrices.

Gradients: M. Giles, Collected matrix derivative results (2008). Where eigenvalues are equal, their
vectors are any basis of one space. What does not depend on the choice has a gradient there, and it is
found; what does has none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import brief, flag
from autodiff.ops.batches import over_stacks
from autodiff.ops.elementwise import abs as magnitude
from autodiff.ops.elementwise import greater, maximum, where
from autodiff.ops.linalg.matrices import (
    failed,
    is_zero,
    square,
    square_shape,
    turned,
)
from autodiff.ops.shape import expand_dims
from autodiff.refusal import refusal

__all__ = ["EighResult", "eigh", "eigvalsh", "no_convergence", "reciprocal_gaps"]

_EPSILON = float(np.finfo(np.float64).eps)


def no_convergence(matrix: int, part: int) -> str:
    """What is said where LAPACK gives up."""
    return f"the iteration for matrix {matrix} did not converge ({part} are not found)"


def reciprocal_gaps(x: Any, largest: Any) -> Any:
    """1 / (x[j] - x[i]) at (i, j), 0 where that is rounding only, of rows of numbers."""
    n = x.shape[-1]
    gap = expand_dims(x, -2) - expand_dims(x, -1)
    apart = greater(magnitude(gap), n * _EPSILON * expand_dims(expand_dims(largest, -1), -1))
    return where(apart, 1.0 / where(apart, gap, 1.0), 0.0)


class EighResult(NamedTuple):
    """Eigenvalues, in rising order, and eigenvectors, one a column."""

    eigenvalues: Any
    eigenvectors: Any


def _shape(a: Shape) -> tuple[Shape, Shape]:
    stack, n = square_shape("eigh", a)
    return (*stack, n), a


def _ga(gs: Any, zs: Any, a: Any) -> Any:
    (gw, gv), (w, v) = gs, zs
    if is_zero(gv) or w.shape[-1] == 0:
        return (v * expand_dims(gw, -2)) @ turned(v)
    largest = maximum(magnitude(w[..., 0]), magnitude(w[..., -1]))
    inner = turned(v) @ gv
    core = reciprocal_gaps(w, largest) * (0.5 * (inner - turned(inner)))
    if not is_zero(gw):
        core = core + expand_dims(gw, -2) * np.eye(w.shape[-1])
    return v @ core @ turned(v)


@declare(
    outputs=("eigenvalues", "eigenvectors"),
    shape=_shape,
    backward=_ga,
    reads="eigenvalues eigenvectors",
    batched=over_stacks(2),
    examples=[
        Example((Sample(s, kind="definite"),)) for s in [(3, 3), (2, 4, 4), (1, 1), (5, 5)]
    ],
    empty=[Example((Sample(s, kind="definite"),)) for s in [(0, 0), (0, 3, 3), (2, 0, 0)]],
)
def _eigh(a: Any) -> Any:
    """z = the eigenvalues of (A + A')/2, and its eigenvectors."""
    if np.iscomplexobj(a):
        return _continued(a)
    a = 0.5 * a + 0.5 * np.swapaxes(a, -1, -2)
    finite = np.isfinite(a).all(axis=(-1, -2))
    try:
        w, v = np.linalg.eigh(np.where(finite[..., None, None], a, 0.0))
    except np.linalg.LinAlgError:
        raise failed(f"eigh: {no_convergence(0, 1)}", 0, 1) from None
    return np.where(finite[..., None], w, np.nan), np.where(finite[..., None, None], v, np.nan)


def _continued(a: Any) -> Any:
    """To first order in the imaginary part."""
    w, v = _eigh.op.forward(a.real)
    change = 0.5 * (a.imag + np.swapaxes(a.imag, -1, -2))
    inner = np.swapaxes(v, -1, -2) @ change @ v
    gap = w[..., None, :] - w[..., :, None]
    with np.errstate(divide="ignore"):
        rotation = np.where(gap == 0.0, 0.0, 1.0 / gap) * inner
    return w + 1j * np.diagonal(inner, axis1=-2, axis2=-1), v + 1j * (v @ rotation)


def _triangle(name: str, uplo: Any) -> None:
    if not isinstance(uplo, str) or uplo.upper() not in ("L", "U"):
        raise refusal(ShapeError, f"{name}: UPLO must be 'L' or 'U', not {brief(uplo)}")


@numpy_name("numpy.linalg.eigh")
def eigh(a: Any, UPLO: str = "L") -> EighResult:  # noqa: N803
    """z = the eigenvalues of a symmetric A in rising order, and its eigenvectors, one a column.

    a : shape (..., n, n). It is (A + A')/2, whatever UPLO says: the gradient is symmetric. Where
    eigenvalues are equal (to rounding), the gradient is right for what does not depend on which
    basis of their space is taken, as V f(w) V'; single vectors have none there.

    Raises
    ------
    MatrixError
        If LAPACK's iteration does not converge, when the value is computed. What is not finite
        gives NaN.
    """
    _triangle("eigh", UPLO)
    return EighResult(*_eigh.normal(square("eigh", a)))


@numpy_name("numpy.linalg.eigvalsh")
def eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803
    """z = the eigenvalues of a symmetric A in rising order. Equal ones have gradients of their sum."""
    _triangle("eigvalsh", UPLO)
    return _eigh.normal(square("eigvalsh", a))[0]


@numpy_name("scipy.linalg.eigh")
def _eigh_of_scipy(a: Any, lower: bool = True, eigvals_only: bool = False) -> Any:
    flag("eigh", "lower", lower)
    w, v = eigh(a)
    return w if flag("eigh", "eigvals_only", eigvals_only) else (w, v)


@numpy_name("scipy.linalg.eigvalsh")
def _eigvalsh_of_scipy(a: Any, lower: bool = True) -> Any:
    flag("eigvalsh", "lower", lower)
    return eigvalsh(a)
