"""Singular values and vectors.

The gradient is that of J. Townsend, Differentiating the singular value decomposition (2016), whose
terms with 1 / (s_j² - s_i²) are taken apart into those with 1 / (s_j - s_i), for turns of both
bases at once, and with 1 / (s_j + s_i), for turns against each other: these lose nothing where
singular values are nearly equal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import flag
from autodiff.ops.batches import over_stacks
from autodiff.ops.elementwise import greater, where
from autodiff.ops.linalg.eigen import no_convergence, over_gaps
from autodiff.ops.linalg.matrices import eye, failed, is_zero, matrix, turned
from autodiff.ops.shape import expand_dims
from autodiff.refusal import refusal

__all__ = ["SVDResult", "svd", "svdvals"]

_EPSILON = float(np.finfo(np.float64).eps)


class SVDResult(NamedTuple):
    """A = U diag(S) Vh."""

    U: Any
    S: Any
    Vh: Any


def _shape(a: Shape) -> tuple[Shape, Shape, Shape]:
    if len(a) < 2:
        raise ShapeError(f"svd: a must be a matrix, or a stack of them, not of shape {a}")
    *stack, m, n = a
    k = min(m, n)
    return (*stack, m, k), (*stack, k), (*stack, k, n)


def _reciprocal(x: Any, least: Any) -> Any:
    """1 / x, or 0 where x is not more than rounding."""
    known = greater(x, least)
    return where(known, 1.0 / where(known, x, 1.0), 0.0)


def _rotations(s: Any, of_u: Any, of_v: Any) -> Any:
    """What turns of both bases at once, and against each other, contribute."""
    k = s.shape[-1]
    least = expand_dims(expand_dims(k * _EPSILON * s[..., 0], -1), -1)
    sums = expand_dims(s, -2) + expand_dims(s, -1)
    a, b = of_u - turned(of_u), of_v - turned(of_v)
    together = over_gaps(s, 0.5 * (a + b), of_u, of_v)
    return together + 0.5 * _reciprocal(sums, least) * (a - b)


def _ga(gs: Any, zs: Any, a: Any) -> Any:
    (gu, gs_, gvh), (u, s, vh) = gs, zs
    k = s.shape[-1]
    if k == 0:
        return np.zeros(a.shape)
    if is_zero(gu) and is_zero(gvh):
        return (u * expand_dims(gs_, -2)) @ vh
    of_u, of_v = turned(u) @ gu, vh @ turned(gvh)
    core = _rotations(s, of_u, of_v)
    if not is_zero(gs_):
        core = core + expand_dims(gs_, -2) * eye(k)
    inverse = _reciprocal(s, expand_dims(k * _EPSILON * s[..., 0], -1))
    ga = u @ core @ vh
    *_, m, n = a.shape
    if m > k:  # what leaves the space of U
        ga = ga + ((gu - u @ of_u) * expand_dims(inverse, -2)) @ vh
    if n > k:
        ga = ga + (u * expand_dims(inverse, -2)) @ (gvh - turned(of_v) @ vh)
    return ga


_SHAPES = [(3, 3), (4, 2), (2, 4), (2, 3, 2)]
_NOTHING = [(0, 3), (3, 0), (0, 2, 3), (2, 0, 0)]


@declare(
    outputs=("U", "S", "Vh"),
    shape=_shape,
    backward=_ga,
    reads="U S Vh",
    batched=over_stacks(2),
    examples=[Example((Sample(s, kind="regular"),)) for s in _SHAPES],
    empty=[Example((Sample(s, kind="regular"),)) for s in _NOTHING],
)
def _svd(a: Any) -> Any:
    """z = U, S and V', as many columns and rows as there are singular values."""
    if np.iscomplexobj(a):
        return _continued(a)
    finite = np.isfinite(a).all(axis=(-1, -2))
    kept = finite[..., None, None]
    try:
        u, s, vh = np.linalg.svd(np.where(kept, a, 0.0), full_matrices=False)
    except np.linalg.LinAlgError:
        raise failed(f"svd: {no_convergence(0, 1)}", 0, 1) from None
    nan = np.nan
    return np.where(kept, u, nan), np.where(finite[..., None], s, nan), np.where(kept, vh, nan)


def _continued(a: Any) -> Any:
    """To first order in the imaginary part."""
    u, s, vh = _svd.op.forward(a.real)
    ut, v = np.swapaxes(u, -1, -2), np.swapaxes(vh, -1, -2)
    change = a.imag
    inner = ut @ change @ v
    mirrored = np.swapaxes(inner, -1, -2)
    row, column = s[..., None, :], s[..., :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = np.where(row == column, 0.0, 1.0 / (row**2 - column**2))
        left = gaps * (inner * row + column * mirrored)
        right = gaps * (column * inner + mirrored * row)
        du = u @ left + (change @ v - u @ inner) / row
        dvh = (vh.swapaxes(-1, -2) @ right).swapaxes(-1, -2)
        dvh = dvh + (ut @ change - inner @ vh) / column
    ds = np.diagonal(inner, axis1=-2, axis2=-1)
    return u + 1j * du, s + 1j * ds, vh + 1j * dvh


@numpy_name("numpy.linalg.svd")
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """z = U, S and V' of A = U diag(S) V', S in falling order; S alone without `compute_uv`.

    a : shape (..., m, n). `full_matrices` must be False unless A is square: what it adds is any
    basis, and has no gradient. Where singular values are equal, a gradient that comes by way of the
    values is right, what comes by way of their own vectors is NaN, as of :func:`eigh`. Vectors that
    belong to 0 have no gradient, and count as fixed.

    Raises
    ------
    ShapeError
        If the full matrices are asked for, and A is not square.
    MatrixError
        If LAPACK's iteration does not converge, when the value is computed.
    """
    a = matrix("svd", a)
    full = flag("svd", "full_matrices", full_matrices)
    if not flag("svd", "compute_uv", compute_uv):
        return _svd.normal(a)[1]
    if full and a.shape[-1] != a.shape[-2]:
        raise refusal(
            ShapeError,
            f"svd: a has shape {a.shape}; full_matrices=True adds vectors that have no gradient, "
            "give full_matrices=False",
            a=a,
        )
    return SVDResult(*_svd.normal(a))


@numpy_name("numpy.linalg.svdvals", "scipy.linalg.svdvals")
def svdvals(x: Any) -> Any:
    """z = the singular values in falling order."""
    return _svd.normal(matrix("svdvals", x, "x"))[1]


@numpy_name("scipy.linalg.svd")
def _svd_of_scipy(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    found = svd(a, full_matrices, compute_uv)
    return tuple(found) if isinstance(found, SVDResult) else found
