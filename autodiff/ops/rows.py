"""Rows by number, and the adjoint: rows added at their numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.array import Shape, is_operand
from autodiff.declare import declare
from autodiff.errors import IndexRangeError, ShapeError
from autodiff.op import BoundOp, Example, Sample
from autodiff.ops.arguments import operand, shape_of
from autodiff.ops.arithmetic import add
from autodiff.ops.batches import all_batches
from autodiff.ops.elementwise import greater_equal, where
from autodiff.ops.shape import reshape, transpose
from autodiff.refusal import refusal

__all__ = ["scatter_rows", "take"]


def _rows(name: str, rows: Any) -> Any:
    """Row numbers as an operand: a mask is refused, it would be taken for rows 0 and 1."""
    numbers = operand(name, rows, "rows")
    if not is_operand(rows) and np.asarray(rows).dtype == bool:
        raise refusal(
            IndexRangeError, f"{name}: rows are numbers, not True and False; for a mask use where"
        )
    return numbers


def _row_numbers(name: str, rows: Any, n_rows: int) -> Any:
    numbers = np.asarray(rows).real
    with np.errstate(invalid="ignore"):  # NaN is no row, which is said below
        whole = numbers.astype(np.intp)
    bad = (whole != numbers) | (whole < -n_rows) | (whole >= n_rows)
    if bad.any():
        raise IndexRangeError(
            f"{name}: row {numbers[bad].flat[0]} is no row of an array of {n_rows} rows"
        )
    return whole


def _without_elements(x: Shape, rows: Shape, **attributes: Any) -> Example:
    return Example((Sample(x), Sample(rows, 0, 1, "integer")), attributes)


def _take_arguments(name: str, x: Any, rows: Any) -> Any:
    return (operand(name, x), _rows(name, rows)), {}


def _take_shape(x: Shape, rows: Shape) -> Shape:
    if not x:
        raise ShapeError("take: x has no rows, it is a scalar")
    return rows + x[1:]


def _take_backward(g: Any, z: Any, x: Any, rows: Any) -> Any:
    return scatter_rows.normal(g, rows, n_rows=x.shape[0])


def _add_rows(total: Any, g: Any, z: Any, x: Any, rows: Any) -> None:
    numbers = _row_numbers("take", rows, len(total)).reshape(-1) % max(1, len(total))
    once, which = np.unique(numbers, return_inverse=True)
    sums = np.zeros((once.size, *total.shape[1:]), dtype=g.dtype)
    np.add.at(sums, which, g.reshape(numbers.size, *total.shape[1:]))
    total[once] += sums


def _moved(x: Any, source: int, target: int) -> Any:
    """x with one axis moved."""
    order = [i for i in range(len(x.shape)) if i != source]
    order.insert(target, source)
    return transpose(x, order)


def _rows_of_all(rows: Any, n: int, n_rows: int) -> Any:
    """Row numbers of each element of a batch, as those of all its rows one after the other.

    A row that does not exist is no number, so that it is refused, and not taken from a neighbour.
    """
    first = np.arange(0.0, n * n_rows, n_rows).reshape(n, *[1] * (len(rows.shape) - 1))
    known = where(greater_equal(rows, 0.0), rows, add(rows, float(n_rows)))
    within = where(greater_equal(known, 0.0), greater_equal(n_rows - 1.0, known), 0.0)
    return where(within, add(known, first), math.nan)


def _take_batched(bound: BoundOp, operands: Any, carries: Any) -> Any:
    x, rows = operands
    if not carries[0]:
        return take.normal(x, rows)
    if not carries[1]:
        return _moved(take.normal(_moved(x, 0, 1), rows), len(rows.shape), 0)
    n, n_rows, *rest = x.shape
    return take.normal(reshape(x, (n * n_rows, *rest)), _rows_of_all(rows, n, n_rows))


@declare(
    arguments=_take_arguments,
    batched=_take_batched,
    shape=_take_shape,
    backward=(_take_backward, None),
    reads="rows",
    ulps=0.0,
    onto=_add_rows,
    examples=[
        Example((Sample((4, 3)), Sample((6,), 0, 4, "integer"))),
        Example((Sample((4, 2, 3)), Sample((2, 2), -4, 4, "integer"))),
        Example((Sample((4,)), Sample((), 0, 4, "integer"))),
    ],
    empty=(
        _without_elements((3, 0), (2,)),
        _without_elements((3, 2), (0,)),
        _without_elements((3, 2), (0, 2)),
        _without_elements((0, 2), (0,)),
    ),
)
def take(x: Any, rows: Any) -> Any:
    """z = x[rows]: rows of x by number; a row taken twice gets both gradients.

    x : shape (n, ...); rows : integers in -n ... n - 1, of any shape; z : shape
    rows.shape + x.shape[1:]. Raises IndexRangeError when computed, if a row does not exist.
    """
    return x[_row_numbers("take", rows, x.shape[0])]


def _scatter_rows_arguments(name: str, x: Any, rows: Any, *, n_rows: int) -> Any:
    x, rows = operand(name, x), _rows(name, rows)
    (n,) = shape_of(name, (n_rows,), x=x)
    shape_of(name, (n, *x.shape[len(rows.shape) :]), x=x)
    return (x, rows), {"n_rows": n}


def _scatter_rows_shape(x: Shape, rows: Shape, *, n_rows: int) -> Shape:
    if x[: len(rows)] != rows:
        raise ShapeError(f"scatter_rows: x has shape {x}, rows has shape {rows}")
    return (n_rows, *x[len(rows) :])


def _scatter_rows_batched(bound: BoundOp, operands: Any, carries: Any) -> Any:
    x, rows = operands
    n_rows = bound.attributes["n_rows"]
    if not carries[1]:
        at = len(rows.shape)
        return _moved(scatter_rows.normal(_moved(x, 0, at), rows, n_rows=n_rows), 1, 0)
    x, rows = all_batches(operands, carries)
    n = rows.shape[0]
    added = scatter_rows.normal(x, _rows_of_all(rows, n, n_rows), n_rows=n * n_rows)
    return reshape(added, (n, n_rows, *added.shape[1:]))


@declare(
    arguments=_scatter_rows_arguments,
    batched=_scatter_rows_batched,
    shape=_scatter_rows_shape,
    backward=(lambda g, z, x, rows, *, n_rows: take.normal(g, rows), None),
    reads="rows",
    examples=[
        Example((Sample((6, 3)), Sample((6,), 0, 4, "integer")), {"n_rows": 4}),
        Example((Sample((2, 2, 3)), Sample((2, 2), -4, 4, "integer")), {"n_rows": 4}),
    ],
    empty=(
        _without_elements((2, 0), (2,), n_rows=3),
        _without_elements((0, 2), (0,), n_rows=3),
        _without_elements((0, 2), (0,), n_rows=0),
    ),
)
def scatter_rows(x: Any, rows: Any, *, n_rows: int) -> Any:
    """z = zeros with n rows, to which each x is added at its row: the adjoint of take.

    x : shape rows.shape + (...); rows : as for :func:`take`; z : shape (n_rows, ...).
    """
    z = np.zeros((n_rows, *x.shape[len(rows.shape) :]), dtype=x.dtype)
    np.add.at(z, _row_numbers("scatter_rows", rows, n_rows), x)
    return z
