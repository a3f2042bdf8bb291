"""Least squares: pseudoinverses, and what they solve.

Gradient: G. Golub and V. Pereyra, The differentiation of pseudo-inverses and nonlinear least
squares problems whose variables separate (1973), which holds where the rank does not change.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import operand
from autodiff.ops.batches import over_stacks
from autodiff.ops.elementwise import greater
from autodiff.ops.linalg.matrices import eye, matrix, turned
from autodiff.ops.linalg.singular import svdvals
from autodiff.ops.reduce import sum as total
from autodiff.ops.shape import expand_dims, reshape
from autodiff.refusal import refusal

__all__ = ["LstsqResult", "lstsq", "pinv"]

_EPSILON = float(np.finfo(np.float64).eps)


def _shape(a: Shape, *, rtol: float) -> Shape:
    if len(a) < 2:
        raise ShapeError(f"pinv: a must be a matrix, or a stack of them, not of shape {a}")
    return (*a[:-2], a[-1], a[-2])


def _ga(g: Any, z: Any, a: Any, *, rtol: float) -> Any:
    *_, m, n = a.shape
    p, pt = z, turned(z)
    ga = -(pt @ g @ pt)
    gt = turned(g)
    if m != n or rtol > 0.0:  # else the rest is 0
        ga = ga + (eye(m) - a @ p) @ gt @ (p @ pt)
        ga = ga + (pt @ p) @ gt @ (eye(n) - p @ a)
    return ga


def _rtol(name: str, a: Any, *given: Any) -> float:
    known = [x for x in given if x is not None]
    for x in known:
        if not isinstance(x, (int, float, np.number)):
            raise refusal(ShapeError, f"{name}: a cut-off must be one number, not {x!r}", a=a)
    return float(known[0]) if known else 1e-15


@declare(
    shape=_shape,
    backward=_ga,
    reads="z a",
    batched=over_stacks(2),
    examples=[
        Example((Sample(s, kind="regular"),), {"rtol": 1e-15})
        for s in [(3, 3), (4, 2), (2, 4), (2, 3, 2)]
    ],
    empty=[Example((Sample(s),), {"rtol": 1e-15}) for s in [(0, 3), (3, 0), (0, 2, 3), (2, 0, 0)]],
)
def _pinv(a: Any, *, rtol: float) -> Any:
    """z = the pseudoinverse of A; singular values up to `rtol` times the largest count as 0."""
    if not np.iscomplexobj(a):
        return np.linalg.pinv(a, rcond=rtol) if a.size else np.zeros(_shape(a.shape, rtol=rtol))
    p = np.linalg.pinv(a.real, rcond=rtol)  # to first order in the imaginary part
    d, pt = a.imag, np.swapaxes(p, -1, -2)
    dt = np.swapaxes(d, -1, -2)
    *_, m, n = a.shape
    change = p @ pt @ dt @ (np.eye(m) - a.real @ p) + (np.eye(n) - p @ a.real) @ dt @ pt @ p
    return p + 1j * (change - p @ d @ p)


@numpy_name("numpy.linalg.pinv")
def pinv(a: Any, rcond: Any = None, *, rtol: Any = None) -> Any:
    """z = the pseudoinverse of each matrix; its gradient holds where the rank does not change.

    rcond, rtol : singular values up to so much of the largest are taken for 0, 1e-15 by default.
    """
    a = matrix("pinv", a)
    return _pinv.normal(a, rtol=_rtol("pinv", a, rcond, rtol))


@numpy_name("scipy.linalg.pinv")
def _pinv_of_scipy(a: Any, *, rtol: Any = None) -> Any:
    a = matrix("pinv", a)
    return _pinv.normal(a, rtol=_rtol("pinv", a, rtol, max(a.shape[-2:]) * _EPSILON))


class LstsqResult(NamedTuple):
    """What NumPy's function gives, in its order."""

    x: Any
    residuals: Any
    rank: Any
    s: Any


@numpy_name("numpy.linalg.lstsq")
def lstsq(a: Any, b: Any, rcond: Any = None) -> LstsqResult:
    """z = x with least ‖A x - b‖, and least ‖x‖ of those; its squared residuals, the rank of A, and
    its singular values.

    The rank has no gradient. Residuals are given wherever A has more rows than columns: NumPy gives
    none if the rank is less than full.
    """
    a, b = matrix("lstsq", a), operand("lstsq", b, "b")
    if len(a.shape) != 2 or len(b.shape) not in (1, 2) or b.shape[0] != a.shape[0]:
        raise refusal(
            ShapeError,
            f"lstsq: sizes differ: a has shape {a.shape}, b has shape {b.shape}",
            a=a,
            b=b,
        )
    m, n = a.shape
    cut = _rtol("lstsq", a, rcond, max(m, n) * _EPSILON)
    columns = reshape(b, (m, 1)) if len(b.shape) == 1 else b
    x = _pinv.normal(a, rtol=cut) @ columns
    error = columns - a @ x
    residuals = total(error * error, axis=0) if m > n else np.zeros(0)
    s = svdvals(a)
    rank = total(greater(s, cut * expand_dims(s[0], 0))) if min(m, n) else np.zeros(())
    return LstsqResult(reshape(x, (n, *b.shape[1:])), residuals, rank, s)
