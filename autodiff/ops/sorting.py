"""Order: positions of elements by size, which have no gradient.

Ties are in the order in which they stand, and NaN comes last, as NumPy has it; argmax and argmin
give the first NaN, if there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import BoundOp, Example, Sample
from autodiff.ops.arguments import axis_of, brief, flag, operand
from autodiff.ops.batches import along_axis, one_by_one
from autodiff.ops.rows import take
from autodiff.ops.shape import reshape
from autodiff.refusal import refusal

__all__ = ["argmax", "argmin", "argsort", "searchsorted"]


def _along(name: str, a: Any, axis: Any) -> tuple[Any, int]:
    """An operand and one of its axes; without one, all of its elements along one."""
    x = operand(name, a, "a")
    return (reshape(x, -1), 0) if axis is None else (x, axis_of(name, x, axis))


def _argsort_arguments(
    name: str, a: Any, axis: Any = -1, kind: Any = None, order: Any = None, stable: Any = None
) -> Any:
    if order is not None:
        raise refusal(ShapeError, f"{name}: there are no fields to sort by: order must be None")
    x, i = _along(name, a, axis)
    return (x,), {"axis": i}


@declare(
    numpy=("numpy.argsort",),
    arguments=_argsort_arguments,
    shape=lambda a, *, axis: a,
    backward=None,
    batched=along_axis,
    ulps=0.0,
    examples=[
        Example((Sample((7,), kind="distinct"),), {"axis": 0}),
        Example((Sample((3, 5), kind="distinct"),), {"axis": 1}),
        Example((Sample((4, 2, 3), kind="distinct"),), {"axis": 0}),
    ],
    empty=(Example((Sample((0, 3)),), {"axis": 0}), Example((Sample((0, 3)),), {"axis": 1})),
)
def argsort(a: Any, *, axis: int) -> Any:
    """z = the positions along `axis` at which the elements lie in rising order; no gradient.

    Whatever NumPy's `kind` is, equal elements stay in order.
    """
    return np.argsort(np.real(a), axis=axis, kind="stable").astype(np.float64)


def _extreme_arguments(name: str, a: Any, axis: Any = None, keepdims: Any = False) -> Any:
    x, i = _along(name, a, axis)
    if x.shape[i] == 0:
        raise refusal(ShapeError, f"{name}: nothing to compare: a has shape {a.shape}", a=x)
    if not flag(name, "keepdims", keepdims):
        return (x,), {"axis": i}
    found = (argmax if name == "argmax" else argmin).normal(x, axis=i)
    if axis is None:
        return reshape(found, (1,) * len(np.shape(a) if isinstance(a, list) else a.shape)), None
    return reshape(found, (*x.shape[:i], 1, *x.shape[i + 1 :])), None


def _extreme_shape(a: Shape, *, axis: int) -> Shape:
    if a[axis] == 0:
        raise ShapeError(f"nothing to compare: a has shape {a}, axis {axis}")
    return a[:axis] + a[axis + 1 :]


_EXTREMES = [
    Example((Sample((7,), kind="distinct"),), {"axis": 0}),
    Example((Sample((3, 5), kind="distinct"),), {"axis": 1}),
    Example((Sample((4, 2, 3), kind="distinct"),), {"axis": 0}),
]
_NO_EXTREMES = (Example((Sample((0, 3)),), {"axis": 1}),)


@declare(
    numpy=("numpy.argmax",),
    arguments=_extreme_arguments,
    shape=_extreme_shape,
    backward=None,
    batched=along_axis,
    ulps=0.0,
    examples=_EXTREMES,
    empty=_NO_EXTREMES,
)
def argmax(a: Any, *, axis: int) -> Any:
    """z = the position of the largest element along `axis`, of equal ones the first; no gradient.

    Without an axis, of all elements, row by row.
    """
    return np.asarray(np.argmax(np.real(a), axis=axis), np.float64)


@declare(
    numpy=("numpy.argmin",),
    arguments=_extreme_arguments,
    shape=_extreme_shape,
    backward=None,
    batched=along_axis,
    ulps=0.0,
    examples=_EXTREMES,
    empty=_NO_EXTREMES,
)
def argmin(a: Any, *, axis: int) -> Any:
    """z = the position of the smallest element along `axis`, of equal ones the first; no gradient.

    Without an axis, of all elements, row by row.
    """
    return np.asarray(np.argmin(np.real(a), axis=axis), np.float64)


def _searchsorted_arguments(
    name: str, a: Any, v: Any, side: Any = "left", sorter: Any = None
) -> Any:
    rows, values = operand(name, a, "a"), operand(name, v, "v")
    if side not in ("left", "right"):
        raise refusal(ShapeError, f"{name}: side must be 'left' or 'right', not {brief(side)}")
    if sorter is not None and len(rows.shape) == 1:
        rows = take(rows, sorter)
    return (rows, values), {"side": side}


def _searchsorted_shape(a: Shape, v: Shape, *, side: str) -> Shape:
    if len(a) != 1:
        raise ShapeError(f"searchsorted: a has shape {a}, it must have one axis")
    return v


def _searchsorted_batched(bound: BoundOp, operands: Sequence[Any], carries: Sequence[bool]) -> Any:
    if carries[0]:
        return one_by_one(bound, operands, carries)
    return searchsorted.normal(*operands, **bound.attributes)


@declare(
    numpy=("numpy.searchsorted",),
    arguments=_searchsorted_arguments,
    shape=_searchsorted_shape,
    backward=(None, None),
    batched=_searchsorted_batched,
    ulps=0.0,
    examples=[
        Example((Sample((1,)), Sample((3, 4))), {"side": "left"}),
        Example((Sample((1,)), Sample((5,))), {"side": "right"}),
    ],
    empty=(
        Example((Sample((0,)), Sample((3,))), {"side": "left"}),
        Example((Sample((1,)), Sample((0,))), {"side": "right"}),
    ),
)
def searchsorted(a: Any, v: Any, *, side: Literal["left", "right"]) -> Any:
    """z = before which elements of a, which are in order, those of v belong; no gradient.

    side : "left" puts v before elements that are equal, "right" behind them.
    """
    return np.asarray(np.searchsorted(np.real(a), np.real(v), side=side), np.float64)


@numpy_name("numpy.argpartition")
def argpartition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> Any:
    """As :func:`argsort`, which is one of the orders that a partition may have."""
    return argsort(a, axis, order=order)
