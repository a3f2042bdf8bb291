"""Orthogonal and triangular factors.

Gradient: S. F. Walter and L. Lehmann, Algorithmic differentiation of linear algebra functions with
application in optimum experimental design (2010).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import brief
from autodiff.ops.batches import over_stacks
from autodiff.ops.linalg.matrices import is_zero, matrix, triangle, turned
from autodiff.ops.linalg.triangular import solve_triangular
from autodiff.ops.parts import concat
from autodiff.refusal import refusal

__all__ = ["QRResult", "qr"]


class QRResult(NamedTuple):
    """A = Q R."""

    Q: Any
    R: Any


def _shape(a: Shape) -> tuple[Shape, Shape]:
    if len(a) < 2 or a[-2] < a[-1]:
        raise ShapeError(f"qr: a has shape {a}, it must have as many rows as columns, or more")
    return a, (*a[:-2], a[-1], a[-1])


def _ga(gs: Any, zs: Any, a: Any) -> Any:
    (gq, gr), (q, r) = gs, zs
    if is_zero(gq):
        inner = r @ turned(gr)
    else:
        inner = -(turned(gq) @ q)
        if not is_zero(gr):
            inner = r @ turned(gr) + inner
    below = triangle(inner, lower=True, strict=True)
    both = triangle(inner, lower=True) + turned(below)
    right = turned(gq + q @ both)
    return turned(solve_triangular.normal(r, right, lower=False, turned=False, unit=False))


@declare(
    outputs=("Q", "R"),
    shape=_shape,
    backward=_ga,
    reads="Q R",
    batched=over_stacks(2),
    examples=[
        Example((Sample(s, kind="regular"),)) for s in [(3, 3), (4, 2), (2, 3, 2), (1, 1), (5, 1)]
    ],
    empty=[Example((Sample(s, kind="regular"),)) for s in [(0, 0), (3, 0), (0, 3, 2)]],
)
def _qr(a: Any) -> Any:
    """z = Q, with orthogonal columns, and R, upper triangular."""
    if not np.iscomplexobj(a):
        q, r = np.linalg.qr(a)
        return q, r
    q, r = np.linalg.qr(a.real)  # to first order in the imaginary part
    change = np.swapaxes(
        np.linalg.solve(np.swapaxes(r, -1, -2), np.swapaxes(a.imag, -1, -2)), -1, -2
    )
    inner = np.swapaxes(q, -1, -2) @ change
    below = np.tril(inner, -1)
    upper = inner - below + np.swapaxes(below, -1, -2)
    return q + 1j * (change - q @ upper), r + 1j * (upper @ r)


@numpy_name("numpy.linalg.qr")
def qr(a: Any, mode: str = "reduced") -> Any:
    """z = Q and R of A = Q R; R alone with mode "r".

    a : shape (..., m, n). The gradient needs that A has full rank, else it is a MatrixError; of a
    wide A, its first m columns. Mode "complete" adds columns that have no gradient, and is refused
    unless m <= n.
    """
    a = matrix("qr", a)
    *_, m, n = a.shape
    if mode not in ("reduced", "r") and not (mode == "complete" and m <= n):
        raise refusal(ShapeError, f"qr: mode must be 'reduced' or 'r' here, not {brief(mode)}", a=a)
    if m >= n:
        q, r = _qr.normal(a)
    else:
        q, left = _qr.normal(a[..., :m])
        r = concat([left, turned(q) @ a[..., m:]], -1)
    return r if mode == "r" else QRResult(q, r)
