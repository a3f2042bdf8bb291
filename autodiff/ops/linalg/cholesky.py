"""Cholesky's factor of a positive definite matrix, and what is solved by it.

Sources of the gradients: I. Murray, Differentiation of the Cholesky decomposition,
arXiv:1602.07527; M. Giles, Collected matrix derivative results (2008). With Φ(X) for the lower
triangle of X with half of its diagonal: dL = L Φ(L⁻¹ dA L⁻'), and from a gradient g of L that of A
is the symmetric part of L⁻' Φ(L' g) L⁻¹.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import flag
from autodiff.ops.batches import over_stacks
from autodiff.ops.linalg.matrices import (
    each,
    failed,
    halved_triangle,
    on_stacks,
    phi,
    square,
    square_shape,
    symmetric,
    triangle,
    turned,
)
from autodiff.ops.linalg.triangular import solve_lower, solve_triangular

__all__ = [
    "cho_factor",
    "cho_solve",
    "cholesky",
    "gradient_of_factor",
    "not_definite",
    "second_gradients",
]

_DEFINITE = [(3, 3), (2, 3, 3), (1, 1), (5, 5)]
_NOTHING = [(0, 0), (0, 3, 3), (2, 0, 0)]


def not_definite(matrix: int, minor: int) -> str:
    """What is said of a matrix that has no factor."""
    return (
        f"matrix {matrix} is not positive definite: its leading minor of order {minor} is not "
        "positive; add something to its diagonal"
    )


# ---- the gradient ---------------------------------------------------------------------------


def _solve(a: Any, b: Any, turned: bool = False) -> Any:
    """A⁻¹ B by the lower triangle, of arrays."""
    return solve_triangular.op.forward(a, b, lower=True, turned=turned, unit=False)


def _gradient_shape(g: Shape, l: Shape) -> Shape:  # noqa: E741
    square_shape("cholesky", l)
    if g != l:
        raise ShapeError(f"cholesky: a gradient of shape {g} for a factor of shape {l}")
    return l


def _inner(h: Any, l: Any) -> Any:  # noqa: E741
    """L⁻¹ H L⁻' for the symmetric part H of h; what the change H does to L is L Φ of it."""
    half = solve_lower(l, symmetric(h))
    return solve_lower(l, turned(half))


def _gradient_gg(h: Any, z: Any, g: Any, l: Any) -> Any:  # noqa: E741
    return l @ phi(_inner(h, l))


def _gradient_gl(h: Any, z: Any, g: Any, l: Any) -> Any:  # noqa: E741
    inner = _inner(h, l)
    of_g = triangle(g, lower=True) @ turned(phi(inner))
    return triangle(of_g - 2.0 * (z @ (l @ inner)), lower=True)


@declare(
    shape=_gradient_shape,
    backward=(_gradient_gg, _gradient_gl),
    reads="z g l",
    batched=over_stacks(2, 2, broadcast=False),
    examples=[Example((Sample(s), Sample(s, kind="lower"))) for s in _DEFINITE],
    empty=[Example((Sample(s), Sample(s, kind="lower"))) for s in _NOTHING],
)
def _cholesky_gradient(g: Any, l: Any) -> Any:  # noqa: E741
    """z = the symmetric part of L⁻' Φ(L' G) L⁻¹, by the lower triangles of G and of L."""
    l, g = np.tril(l), np.tril(g)  # noqa: E741
    x = halved_triangle(l.shape[-1]) * (np.swapaxes(l, -1, -2) @ g)
    half = _solve(l, np.swapaxes(x, -1, -2), turned=True)
    z = _solve(l, np.swapaxes(half, -1, -2), turned=True)
    return 0.5 * (z + np.swapaxes(z, -1, -2))


def gradient_of_factor(g: Any, l: Any) -> Any:  # noqa: E741
    """The symmetric gradient of A = L L', from that of L; of arrays."""
    return _cholesky_gradient.op.forward(g, l)


second_gradients = (
    lambda h, g, factor: _gradient_gg(h, None, g, factor),
    lambda h, g, factor: _gradient_gl(h, _cholesky_gradient.normal(g, factor), g, factor),
)
"""Of that gradient, by g and by L, from a gradient h of its own."""


# ---- the factor -----------------------------------------------------------------------------


def _cholesky_arguments(name: str, a: Any, upper: bool = False) -> Any:
    a = square(name, a)
    if flag(name, "upper", upper):
        return turned(cholesky.normal(a)), None
    return (a,), {}


def _cholesky_shape(a: Shape) -> Shape:
    square_shape("cholesky", a)
    return a


def _cholesky_ga(g: Any, z: Any, a: Any) -> Any:
    return _cholesky_gradient.normal(g, z)


@declare(
    numpy=("numpy.linalg.cholesky",),
    arguments=_cholesky_arguments,
    shape=_cholesky_shape,
    backward=_cholesky_ga,
    reads="z",
    batched=over_stacks(2),
    examples=[Example((Sample(s, kind="definite"),)) for s in _DEFINITE],
    empty=[Example((Sample(s, kind="definite"),)) for s in _NOTHING],
)
def cholesky(a: Any) -> Any:
    """z = L, lower triangular with L L' = A; L' if `upper`. A is symmetric and positive definite.

    a : shape (..., n, n). What is factored is (A + A')/2: the gradient is symmetric.

    Raises
    ------
    MatrixError
        If a matrix is not positive definite, when the value is computed. NaN gives NaN.
    """
    if np.iscomplexobj(a):  # to first order in the imaginary part
        return _continued(cholesky.op.forward(a.real), a.imag)
    a = 0.5 * a + 0.5 * np.swapaxes(a, -1, -2)
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        return _one_by_one(a)


def _continued(l: Any, change: Any) -> Any:  # noqa: E741
    half = _solve(l, 0.5 * (change + np.swapaxes(change, -1, -2)))
    inner = _solve(l, np.swapaxes(half, -1, -2))
    return l + 1j * (l @ (halved_triangle(l.shape[-1]) * inner))


def _one_by_one(a: Any) -> Any:
    """Where one of a stack is not positive definite, or is NaN."""
    z = np.empty(a.shape)
    for number, (ai, zi) in enumerate(each(a, z)):
        if np.isnan(ai).any():
            zi[...] = np.nan
            continue
        try:
            zi[...] = np.linalg.cholesky(ai)
        except np.linalg.LinAlgError:
            minor = _minor(ai)
            message = f"cholesky: {not_definite(number, minor)}"
            raise failed(message, number, minor) from None
    return z


def _minor(a: Any) -> int:
    """The order of the first leading minor that is not positive."""
    u = a.copy()
    for k in range(len(u)):
        if not u[k, k] > 0.0:
            return k + 1
        row = u[k, k + 1 :] / u[k, k]
        u[k + 1 :, k + 1 :] -= np.outer(row, u[k, k + 1 :])
    return len(u)


# ---- said with it ---------------------------------------------------------------------------


@numpy_name("scipy.linalg.cholesky")
def _cholesky_of_scipy(a: Any, lower: bool = False) -> Any:
    return cholesky(a, upper=not flag("cholesky", "lower", lower))


@numpy_name("scipy.linalg.cho_factor")
def cho_factor(a: Any, lower: bool = False) -> tuple[Any, bool]:
    """The factor of A for :func:`cho_solve`, zeros in its other half; and whether it is lower."""
    lower = flag("cho_factor", "lower", lower)
    return cholesky(a, upper=not lower), lower


@numpy_name("scipy.linalg.cho_solve")
def cho_solve(c_and_lower: tuple[Any, bool], b: Any) -> Any:
    """z = A⁻¹ b by the factor of A, the pair that :func:`cho_factor` gives."""
    c, lower = c_and_lower
    lower = flag("cho_solve", "lower", lower)

    def solve(c: Any, b: Any) -> Any:
        half = solve_triangular(c, b, trans=int(not lower), lower=lower)
        return solve_triangular(c, half, trans=int(lower), lower=lower)

    return on_stacks("cho_solve", solve, c, b)
