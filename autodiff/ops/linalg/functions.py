"""Functions of matrices, and the equations that their derivatives solve.

expm : the derivative is a block of the exponential of a larger matrix (A. Al-Mohy and N. Higham,
    Computing the Fréchet derivative of the matrix exponential, 2009)
sqrtm : from X X = A follows dX X + X dX = dA, Sylvester's equation
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import brief
from autodiff.ops.batches import over_stacks
from autodiff.ops.linalg.lu import solve
from autodiff.ops.linalg.matrices import (
    each,
    eye,
    failed,
    matrix,
    square,
    square_shape,
    stacks,
    turned,
)
from autodiff.ops.parts import concat
from autodiff.ops.shape import reshape
from autodiff.refusal import refusal

__all__ = [
    "expm",
    "no_root",
    "no_solution",
    "solve_continuous_lyapunov",
    "solve_discrete_lyapunov",
    "solve_sylvester",
    "sqrtm",
]

_SQUARE = [(3, 3), (2, 2, 2), (4, 4)]
_NOTHING = [(0, 0), (0, 3, 3), (2, 0, 0)]


# ---- the exponential ------------------------------------------------------------------------


def _expm_shape(A: Shape) -> Shape:
    square_shape("expm", A, "A")
    return A


def _expm_ga(g: Any, z: Any, A: Any) -> Any:
    n, at = A.shape[-1], turned(A)
    both = concat([concat([at, g], -1), concat([np.zeros(A.shape), at], -1)], -2)
    return expm.normal(both)[..., :n, n:]


@declare(
    numpy=("scipy.linalg.expm",),
    arguments=lambda name, A: ((square(name, A, "A"),), {}),
    shape=_expm_shape,
    backward=_expm_ga,
    reads="A",
    batched=over_stacks(2),
    examples=[Example((Sample(s, -1.0, 1.0),)) for s in _SQUARE],
    empty=[Example((Sample(s),)) for s in _NOTHING],
)
def expm(A: Any) -> Any:
    """z = the exponential of each matrix; shape (..., n, n). What is not finite gives NaN."""
    from scipy.linalg import expm

    z = np.empty(A.shape, A.dtype)
    for ai, zi in each(A, z) if A.size else ():
        zi[...] = expm(ai) if np.isfinite(ai).all() else np.nan
    return z


# ---- Sylvester's equation -------------------------------------------------------------------


def no_solution(matrix: int, part: int) -> str:
    """What is said where the equation is singular."""
    return f"equation {matrix} has no solution or many: A and -B have an eigenvalue in common"


def _sylvester_arguments(name: str, a: Any, b: Any, q: Any) -> Any:
    a, b, q = square(name, a), square(name, b, "b"), matrix(name, q, "q")
    if q.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise refusal(
            ShapeError,
            f"{name}: sizes differ: a has shape {a.shape}, b {b.shape} and q {q.shape}",
            a=a,
            b=b,
            q=q,
        )
    return stacks(name, a=a, b=b, q=q), {}


def _sylvester_shape(a: Shape, b: Shape, q: Shape) -> Shape:
    stack, m = square_shape("solve_sylvester", a)
    other, n = square_shape("solve_sylvester", b, "b")
    if not stack == other == q[:-2] or q[-2:] != (m, n):
        raise ShapeError(
            f"solve_sylvester: sizes differ: a has shape {a}, b has shape {b}, q has shape {q}"
        )
    return q


def _sylvester_gq(g: Any, z: Any, a: Any, b: Any, q: Any) -> Any:
    return solve_sylvester.normal(turned(a), turned(b), g)


def _sylvester_ga(g: Any, z: Any, a: Any, b: Any, q: Any) -> Any:
    return -(_sylvester_gq(g, z, a, b, q) @ turned(z))


def _sylvester_gb(g: Any, z: Any, a: Any, b: Any, q: Any) -> Any:
    return -(turned(z) @ _sylvester_gq(g, z, a, b, q))


def _definite(*shapes: Shape) -> Example:
    a, b, q = shapes
    return Example((Sample(a, kind="definite"), Sample(b, kind="definite"), Sample(q)))


@declare(
    arguments=_sylvester_arguments,
    shape=_sylvester_shape,
    backward=(_sylvester_ga, _sylvester_gb, _sylvester_gq),
    reads="z a b",
    batched=over_stacks(2, 2, 2, broadcast=False),
    examples=[
        _definite((3, 3), (3, 3), (3, 3)),
        _definite((2, 2), (3, 3), (2, 3)),
        _definite((2, 3, 3), (2, 2, 2), (2, 3, 2)),
    ],
    empty=[
        _definite((0, 0), (2, 2), (0, 2)),
        _definite((2, 2), (0, 0), (2, 0)),
        _definite((0, 2, 2), (0, 3, 3), (0, 2, 3)),
    ],
)
def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """z = X, the solution of A X + X B = Q.

    Raises
    ------
    MatrixError
        If A and -B have an eigenvalue in common, when the value is computed.
    """
    kind = np.result_type(a, b, q)
    z = np.empty(q.shape, kind)
    for number, (ai, bi, qi, zi) in enumerate(each(a, b, q, z) if q.size else ()):
        if kind == np.complex128:  # as one large system
            m, n = qi.shape
            large = np.kron(ai, np.eye(n)) + np.kron(np.eye(m), bi.T)
            zi[...] = np.linalg.solve(large, qi.reshape(-1)).reshape(m, n)
        elif all(np.isfinite(x).all() for x in (ai, bi, qi)):
            zi[...] = _solved(number, ai, bi, qi)
        else:
            zi[...] = np.nan
    return z


def _solved(number: int, a: Any, b: Any, q: Any) -> Any:
    """By triangular forms, as Bartels and Stewart."""
    from scipy.linalg import schur
    from scipy.linalg.lapack import dtrsyl

    (r, u), (s, v) = schur(a), schur(b)
    y, scale, info = dtrsyl(r, s, u.T @ q @ v)
    if info != 0:
        raise failed(f"solve_sylvester: {no_solution(number, 0)}", number, 0)
    return u @ (y / scale) @ v.T


numpy_name("scipy.linalg.solve_sylvester")(solve_sylvester)


@numpy_name("scipy.linalg.solve_continuous_lyapunov", "scipy.linalg.solve_lyapunov")
def solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    """z = X, the solution of A X + X A' = Q."""
    a = square("solve_continuous_lyapunov", a)
    return solve_sylvester(a, turned(a), q)


_DIRECTLY = 10  # rows up to which SciPy, too, writes one large system


@numpy_name("scipy.linalg.solve_discrete_lyapunov")
def solve_discrete_lyapunov(a: Any, q: Any, method: Any = None) -> Any:
    """z = X, the solution of A X A' - X + Q = 0: as one large system, or by a "bilinear" map."""
    name = "solve_discrete_lyapunov"
    a, q = square(name, a), square(name, q, "q")
    if method not in (None, "direct", "bilinear"):
        raise refusal(ShapeError, f"{name}: there is no method {brief(method)}", a=a)
    n = a.shape[-1]
    if n != q.shape[-1] or len(a.shape) != 2 or len(q.shape) != 2:
        raise refusal(
            ShapeError,
            f"{name}: sizes differ: a has shape {a.shape}, q has shape {q.shape}",
            a=a,
            q=q,
        )
    if method == "direct" or (method is None and n < _DIRECTLY):
        products = reshape(a, (n, 1, n, 1)) * reshape(a, (1, n, 1, n))
        large = eye(n * n) - reshape(products, (n * n, n * n))
        return reshape(solve(large, reshape(q, (n * n,))), (n, n))
    inverse = solve(turned(a) + eye(n), eye(n))
    b = (turned(a) - eye(n)) @ inverse
    c = 2.0 * (turned(inverse) @ q @ inverse)
    return solve_continuous_lyapunov(turned(b), -c)


# ---- the square root ------------------------------------------------------------------------


def no_root(matrix: int, part: int) -> str:
    """What is said of a matrix without a real square root."""
    return f"matrix {matrix} has no real square root, or is singular: an eigenvalue is not positive"


def _sqrtm_shape(A: Shape) -> Shape:
    square_shape("sqrtm", A, "A")
    return A


def _sqrtm_ga(g: Any, z: Any, A: Any) -> Any:
    return solve_sylvester.normal(turned(z), turned(z), g)


@declare(
    numpy=("scipy.linalg.sqrtm",),
    arguments=lambda name, A: ((square(name, A, "A"),), {}),
    shape=_sqrtm_shape,
    backward=_sqrtm_ga,
    reads="z",
    batched=over_stacks(2),
    examples=[Example((Sample(s, kind="definite"),)) for s in _SQUARE],
    empty=[Example((Sample(s),)) for s in _NOTHING],
)
def sqrtm(A: Any) -> Any:
    """z = the principal square root of each matrix: X X = A.

    Raises
    ------
    MatrixError
        If it is not real (an eigenvalue is negative), or A is singular, when the value is computed.
    """
    from scipy.linalg import sqrtm

    z = np.empty(A.shape, A.dtype)
    for number, (ai, zi) in enumerate(each(A, z) if A.size else ()):
        if not np.isfinite(ai).all():
            zi[...] = np.nan
            continue
        root = sqrtm(ai.real)
        if np.iscomplexobj(root) or not np.isfinite(root).all() or not np.linalg.det(root):
            raise failed(f"sqrtm: {no_root(number, 0)}", number, 0)
        zi[...] = root
        if np.iscomplexobj(ai):  # to first order in the imaginary part
            zi += 1j * solve_sylvester.op.forward(root, root, ai.imag)
    return z
