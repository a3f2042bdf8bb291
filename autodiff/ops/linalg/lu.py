"""General systems, inverses and determinants, by Gaussian elimination.

Programs factor a matrix once, whatever is asked of it: the ops here that read A have identities
that say them with `_lu`, the factors. Gradients: M. Giles, Collected matrix derivative results
(2008).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import BoundOp, Example, Sample
from autodiff.ops.batches import over_stacks
from autodiff.ops.linalg.matrices import (
    each,
    eye,
    failed,
    is_transpose,
    on_stacks,
    square,
    square_shape,
    systems_batched,
    turned,
)
from autodiff.ops.linalg.triangular import system_shape
from autodiff.ops.shape import broadcast_to, reshape

__all__ = ["SlogdetResult", "det", "inv", "singular", "slogdet", "solve"]

_SQUARE = [(3, 3), (2, 4, 4), (1, 1), (5, 5)]
_NOTHING = [(0, 0), (0, 3, 3), (2, 0, 0)]


def singular(matrix: int, pivot: int) -> str:
    """What is said of a matrix that has no inverse."""
    return f"matrix {matrix} is singular: its pivot {pivot} is 0, so that it has no inverse"


# ---- factors, for programs ------------------------------------------------------------------


def _lu_shape(a: Shape) -> Shape:
    stack, n = square_shape("lu", a)
    return (*stack, n + 1, n)


@declare(
    shape=_lu_shape,
    backward=None,
    examples=[Example((Sample(s, kind="regular"),)) for s in _SQUARE],
    empty=[Example((Sample(s, kind="regular"),)) for s in _NOTHING],
)
def _lu(a: Any) -> Any:
    """z = the triangular factors of A', as LAPACK has them by columns, and a row of pivots."""
    n = a.shape[-1]
    z = np.empty((*a.shape[:-2], n + 1, n), a.dtype)
    z[..., :n, :] = a
    for f in z.reshape((-1, n + 1, n)) if z.size else ():
        for k in range(n):
            best = k + int(np.argmax(np.abs(f[k, k:])))
            f[n, k] = best
            f[:n, [k, best]] = f[:n, [best, k]]
            if f[k, k] != 0.0:
                f[k, k + 1 :] /= f[k, k]
            f[k + 1 : n, k + 1 :] -= np.outer(f[k + 1 : n, k], f[k, k + 1 :])
    return z


def _factors(a: Any) -> tuple[Any, Any]:
    """D R, where A is that with its columns exchanged; and how: A = (D R)[:, columns]."""
    n = a.shape[-1]
    columns = np.arange(n)
    for i in range(n - 1, -1, -1):
        pivot = a[n, i].real
        if i < pivot < n:
            columns[[i, int(pivot)]] = columns[[int(pivot), i]]
    return np.tril(a[:n]) @ (np.triu(a[:n], 1) + np.eye(n)), columns


def _lu_solve_shape(f: Shape, b: Shape, *, turned: bool) -> Shape:
    if len(f) < 2 or f[-2] != f[-1] + 1:
        raise ShapeError(f"solve: factors have one row more than columns, they have shape {f}")
    return system_shape("solve", (*f[:-2], f[-1], f[-1]), b)


@declare(
    shape=_lu_solve_shape,
    backward=(None, None),
    examples=[
        Example((Sample(f, 1.0, 2.0), Sample(b)), {"turned": turned_})
        for f, b in [((4, 3), (3, 2)), ((2, 3, 2), (2, 2, 1)), ((6, 5), (5, 1))]
        for turned_ in (False, True)
    ],
    empty=[
        Example((Sample(f, 1.0, 2.0), Sample(b)), {"turned": False})
        for f, b in [((1, 0), (0, 2)), ((0, 4, 3), (0, 3, 1)), ((4, 3), (3, 0))]
    ],
)
def _lu_solve(f: Any, b: Any, *, turned: bool) -> Any:
    """z = A⁻¹ B, or A'⁻¹ B if `turned`, by the factors of A."""
    n = f.shape[-1]
    z = np.empty(b.shape, np.result_type(f, b))
    for number, (fi, bi, zi) in enumerate(each(f, b, z)):
        zero = np.flatnonzero(np.diagonal(fi) == 0.0)
        if len(zero) and b.size:
            pivot = int(zero[0]) + 1
            raise failed(f"solve: {singular(number, pivot)}", number, pivot)
        product, columns = _factors(fi)
        a = product[:, columns] if n else product
        zi[...] = np.linalg.solve(a.T if turned else a, bi)
    return z


_WHAT = ("det", "sign", "log")


@declare(
    shape=lambda f, *, what: f[:-2],
    backward=None,
    examples=[
        Example((Sample(f, 0.5, 1.5),), {"what": what})
        for f in [(4, 3), (2, 3, 2)]
        for what in _WHAT
    ],
    empty=[
        Example((Sample(f, 0.5, 1.5),), {"what": what})
        for f in [(1, 0), (0, 4, 3)]
        for what in _WHAT
    ],
)
def _lu_determinant(f: Any, *, what: str) -> Any:
    """z = det A, its sign, or log |det A|, by the factors of A."""
    n = f.shape[-1]
    diagonal, pivots = np.diagonal(f[..., :n, :], axis1=-2, axis2=-1), f[..., n, :].real
    swaps = np.sum((pivots > np.arange(n)) & (pivots < n), axis=-1)
    sign = np.where(swaps % 2 == 1, -1.0, 1.0)
    if what == "det":
        return sign * np.prod(diagonal, axis=-1)
    if what == "sign":
        return sign * np.prod(np.sign(diagonal.real), axis=-1)
    return np.sum(np.log(np.where(diagonal.real < 0.0, -diagonal, diagonal)), axis=-1)


# ---- systems --------------------------------------------------------------------------------


def _solve_shape(a: Shape, b: Shape, *, turned: bool) -> Shape:
    return system_shape("solve", a, b)


def _solve_gb(g: Any, z: Any, a: Any, b: Any, *, turned: bool) -> Any:
    return solve.normal(a, g, turned=not turned)


def _solve_ga(g: Any, z: Any, a: Any, b: Any, *, turned: bool) -> Any:
    gb = _solve_gb(g, z, a, b, turned=turned)
    return -(z @ _turned(gb)) if turned else -(gb @ _turned(z))


_turned = turned


def _solve_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    a, b = inputs
    turned_ = bound.attributes["turned"]
    if is_transpose(a):
        a, turned_ = a.inputs[0], not turned_
    return e.apply("_lu_solve", e.apply("_lu", a), b, turned=turned_)


def _solve_arguments(name: str, a: Any, b: Any) -> Any:
    return on_stacks(name, lambda a, b: solve.normal(a, b, turned=False), a, b), None


@declare(
    arguments=_solve_arguments,
    shape=_solve_shape,
    backward=(_solve_ga, _solve_gb),
    reads="z a",
    identity=_solve_identity,
    batched=systems_batched,
    examples=[
        Example((Sample(a, kind="regular"), Sample(b)), {"turned": turned_})
        for a, b, turned_ in [
            ((3, 3), (3, 2), False), ((3, 3), (3, 1), True), ((2, 4, 4), (2, 4, 2), False),
            ((1, 1), (1, 1), False), ((5, 5), (5, 3), True),
        ]
    ],
    empty=[
        Example((Sample(a, kind="regular"), Sample(b)), {"turned": False})
        for a, b in [((0, 0), (0, 2)), ((0, 3, 3), (0, 3, 1)), ((3, 3), (3, 0))]
    ],
)  # fmt: skip
def solve(a: Any, b: Any, *, turned: bool) -> Any:
    """z = the solution of A z = b.

    a : shape (..., n, n); b : shape (..., n, k), or (n,).

    Raises
    ------
    MatrixError
        If a matrix is singular, when the value is computed.
    """
    a = np.swapaxes(a, -1, -2) if turned else a
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        for number, (ai,) in enumerate(each(a)):
            factors = _lu.op.forward(np.swapaxes(ai, -1, -2) if turned else ai)
            zero = np.flatnonzero(np.diagonal(factors) == 0.0)
            if len(zero):
                pivot = int(zero[0]) + 1
                raise failed(f"solve: {singular(number, pivot)}", number, pivot) from None
        raise failed("solve: a matrix is singular", 0, 0) from None


numpy_name("numpy.linalg.solve")(solve)


@numpy_name("numpy.linalg.inv")
def inv(a: Any) -> Any:
    """z = A⁻¹; shape (..., n, n). MatrixError if it is singular, when the value is computed."""
    a = square("inv", a)
    return solve.normal(a, broadcast_to(eye(a.shape[-1]), a.shape), turned=False)


# ---- determinants ---------------------------------------------------------------------------


class SlogdetResult(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Any
    logabsdet: Any


def _det_shape(a: Shape) -> Shape:
    return square_shape("det", a)[0]


def _inverse_turned(a: Any) -> Any:
    return solve.normal(a, broadcast_to(eye(a.shape[-1]), a.shape), turned=True)


def _spread(g: Any) -> Any:
    return reshape(g, (*g.shape, 1, 1))


def _log_abs_det_ga(g: Any, z: Any, a: Any) -> Any:
    return _spread(g) * _inverse_turned(a)


def _identity_of(what: str) -> Any:
    def identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
        (a,) = inputs
        a = a.inputs[0] if is_transpose(a) else a
        return e.apply("_lu_determinant", e.apply("_lu", a), what=what)

    return identity


_OF_DETERMINANTS: dict[str, Any] = {
    "shape": _det_shape,
    "batched": over_stacks(2),
    "examples": [Example((Sample(s, kind="regular"),)) for s in _SQUARE],
    "empty": [Example((Sample(s, kind="regular"),)) for s in _NOTHING],
}


@declare(backward=None, identity=_identity_of("sign"), **_OF_DETERMINANTS)
def _sign_of_det(a: Any) -> Any:
    """z = the sign of det A; no gradient."""
    return np.sign(np.linalg.slogdet(a)[0].real)


@declare(backward=_log_abs_det_ga, reads="a", identity=_identity_of("log"), **_OF_DETERMINANTS)
def _log_abs_det(a: Any) -> Any:
    """z = log |det A|."""
    sign, logarithm = np.linalg.slogdet(a)
    if np.iscomplexobj(a):
        return logarithm + 1j * np.angle(sign * np.sign(sign.real))
    return logarithm


@numpy_name("numpy.linalg.slogdet")
def slogdet(a: Any) -> SlogdetResult:
    """z = the sign of det A, which has no gradient, and log |det A|; 0 and -inf if A is singular.

    The gradient of the logarithm is A'⁻¹, which is refused (MatrixError) where A is singular.
    """
    a = square("slogdet", a)
    return SlogdetResult(_sign_of_det.normal(a), _log_abs_det.normal(a))


def _det_ga(g: Any, z: Any, a: Any) -> Any:
    return _spread(g * z) * _inverse_turned(a)


@declare(
    numpy=("numpy.linalg.det",),
    arguments=lambda name, a: ((square(name, a),), {}),
    backward=_det_ga,
    reads="z a",
    identity=_identity_of("det"),
    **_OF_DETERMINANTS,
)
def det(a: Any) -> Any:
    """z = det A, of shape (..., n, n). The gradient needs A⁻¹: MatrixError where A is singular."""
    return np.linalg.det(a)


numpy_name("scipy.linalg.det")(det)
