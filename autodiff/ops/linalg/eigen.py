"""Eigenvalues and eigenvectors of symmetric matrices.

Gradients: M. Giles, Collected matrix derivative results (2008). Where eigenvalues are equal, their
vectors are any basis of one space. What depends on eigenvalues only has a gradient of their sum;
what depends on such vectors gets NaN.
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
from autodiff.ops.elementwise import equal, greater, where
from autodiff.ops.linalg.matrices import (
    eye,
    failed,
    is_zero,
    square,
    square_shape,
    turned,
)
from autodiff.ops.shape import expand_dims
from autodiff.refusal import refusal

__all__ = ["EighResult", "eigh", "eigvalsh", "no_convergence", "over_gaps"]


def no_convergence(matrix: int, part: int) -> str:
    """What is said where LAPACK gives up."""
    return f"the iteration for matrix {matrix} did not converge ({part} are not found)"


def over_gaps(x: Any, numerator: Any, *parts: Any) -> Any:
    """numerator / (x[j] - x[i]) at (i, j), of rows x; 0 for i = j.

    What turns one basis of a space into another divides by no gap at all. Where nothing of `parts`
    is at (i, j) or (j, i), nothing depends on it, and that is 0; else it is NaN: there is no
    gradient, or none that can be told from these numbers.
    """
    n = x.shape[-1]
    gap = expand_dims(x, -2) - expand_dims(x, -1)
    size = sum(magnitude(part) for part in parts)
    size = size + turned(size)
    known = where(equal(gap, 0.0), 0.0, numerator / where(equal(gap, 0.0), 1.0, gap))
    lost = equal(gap, 0.0) * greater(size, 0.0) * (1.0 - eye(n))
    return where(lost, np.nan, known)


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
    inner = turned(v) @ gv
    core = over_gaps(w, 0.5 * (inner - turned(inner)), inner)
    if not is_zero(gw):
        core = core + expand_dims(gw, -2) * eye(w.shape[-1])
    return v @ core @ turned(v)


@declare(
    outputs=("eigenvalues", "eigenvectors"),
    shape=_shape,
    backward=_ga,
    reads="eigenvalues eigenvectors",
    batched=over_stacks(2),
    examples=[Example((Sample(s, kind="definite"),)) for s in [(3, 3), (2, 4, 4), (5, 5)]],
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
def eigh(a: Any, UPLO: str = "L") -> EighResult:
    """z = the eigenvalues of a symmetric A in rising order, and its eigenvectors, one a column.

    a : shape (..., n, n). It is (A + A')/2, whatever UPLO says: the gradient is symmetric. Where
    eigenvalues are equal, a gradient that comes by way of the eigenvalues, and of the vectors of
    others, is right; what comes by way of their own vectors is NaN: single vectors have none, and
    that of V f(w) V' cannot be told from them (`scipy.linalg.expm` and `sqrtm` have theirs).

    Raises
    ------
    MatrixError
        If LAPACK's iteration does not converge, when the value is computed. What is not finite
        gives NaN.
    """
    _triangle("eigh", UPLO)
    return EighResult(*_eigh.normal(square("eigh", a)))


@numpy_name("numpy.linalg.eigvalsh")
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """z = the eigenvalues of a symmetric A in rising order; see :func:`eigh`."""
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
