"""Rows by number, along any axis, and the adjoint: rows added at their numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.array import Shape, is_operand
from autodiff.declare import declare
from autodiff.errors import IndexRangeError, ShapeError
from autodiff.op import BoundOp, Example, Sample
from autodiff.ops.arguments import axis_of, operand, shape_of
from autodiff.ops.arithmetic import add
from autodiff.ops.batches import all_batches
from autodiff.ops.elementwise import greater_equal, where
from autodiff.ops.shape import transpose
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


def axes_of_rows(axis: int, span: int) -> dict[str, Any]:
    """The attributes of rows that lie along these axes; none if they are those of the first."""
    return {} if (axis, span) == (0, 1) else {"axis": axis, "span": span}


def _take_arguments(name: str, x: Any, rows: Any, axis: Any = 0) -> Any:
    x, rows = operand(name, x), _rows(name, rows)
    if not x.shape:
        raise refusal(ShapeError, f"{name}: x has no rows, it is a scalar", x=x)
    return (x, rows), axes_of_rows(axis_of(name, x, axis), 1)


def _take_shape(x: Shape, rows: Shape, *, axis: int = 0, span: int = 1) -> Shape:
    if len(x) < axis + span:
        raise ShapeError("take: x has no rows, it is a scalar")
    return x[:axis] + rows + x[axis + span :]


def _take_backward(g: Any, z: Any, x: Any, rows: Any, *, axis: int = 0, span: int = 1) -> Any:
    return _scattered(g, rows, x.shape[axis : axis + span], axis)


def _scattered(g: Any, rows: Any, sizes: Shape, axis: int) -> Any:
    n_rows = sizes[0] if len(sizes) == 1 else sizes
    attributes = {"axis": axis} if axis else {}
    return scatter_rows.normal(g, rows, n_rows=n_rows, **attributes)


def _add_rows(
    total: Any, g: Any, z: Any, x: Any, rows: Any, *, axis: int = 0, span: int = 1
) -> None:
    outer, sizes = math.prod(total.shape[:axis]), total.shape[axis : axis + span]
    n_rows, width = math.prod(sizes), math.prod(total.shape[axis + span :])
    numbers = _row_numbers("take", rows, n_rows).reshape(-1) % max(1, n_rows)
    once, which = np.unique(numbers, return_inverse=True)
    sums = np.zeros((once.size, outer, width), dtype=g.dtype)
    terms = g.reshape(outer, numbers.size, width)
    np.add.at(sums, which, terms.transpose(1, 0, 2))
    table = total.reshape(outer, n_rows, width)  # a view: the total lies row by row
    table[:, once] += sums.transpose(1, 0, 2)


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


def _take_flow(bound: BoundOp, position: int, inputs: Any) -> Any:
    x, rows = inputs
    numbers = np.arange(math.prod(x.shape)).reshape(x.shape)
    ins = np.ravel(bound.forward((numbers, rows.value)))
    return np.arange(ins.size), ins


def _take_batched(bound: BoundOp, operands: Any, carries: Any) -> Any:
    x, rows = operands
    axis, span = bound.attributes.get("axis", 0), bound.attributes.get("span", 1)
    if not carries[1]:
        return take.normal(x, rows, **axes_of_rows(axis + 1, span))
    if carries[0]:
        n_rows = math.prod(x.shape[axis + 1 : axis + 1 + span])
        rows = _rows_of_all(rows, len(x), n_rows)
        x, span = _moved(x, 0, axis), span + 1
    return _moved(take.normal(x, rows, **axes_of_rows(axis, span)), axis, 0)


@declare(
    arguments=_take_arguments,
    batched=_take_batched,
    flow=_take_flow,
    shape=_take_shape,
    backward=(_take_backward, None),
    reads="rows",
    ulps=0.0,
    onto=_add_rows,
    examples=[
        Example((Sample((4, 3)), Sample((6,), 0, 4, "integer"))),
        Example((Sample((4, 2, 3)), Sample((2, 2), -4, 4, "integer"))),
        Example((Sample((4,)), Sample((), 0, 4, "integer"))),
        Example((Sample((2, 4, 3)), Sample((5,), -4, 4, "integer")), axes_of_rows(1, 1)),
        Example((Sample((3, 4)), Sample((2, 3), 0, 4, "integer")), axes_of_rows(1, 1)),
        Example((Sample((2, 3, 2, 2)), Sample((5,), 0, 6, "integer")), axes_of_rows(1, 2)),
    ],
    empty=(
        _without_elements((3, 0), (2,)),
        _without_elements((3, 2), (0,)),
        _without_elements((3, 2), (0, 2)),
        _without_elements((0, 2), (0,)),
        _without_elements((0, 3), (2,), **axes_of_rows(1, 1)),
        _without_elements((2, 3, 0), (0, 2), **axes_of_rows(0, 2)),
        _without_elements((2, 0, 3), (0,), **axes_of_rows(1, 2)),
    ),
)
def take(x: Any, rows: Any, *, axis: int = 0, span: int = 1) -> Any:
    """z = x[rows]: rows of x by number; a row taken twice gets both gradients.

    x : shape (n, ...); rows : integers in -n ... n - 1, of any shape; z : shape
    rows.shape + x.shape[1:]. With `axis` the rows lie along that axis, and the axes of `rows` take
    its place. Raises IndexRangeError when computed, if a row does not exist.
    """
    n_rows = math.prod(x.shape[axis : axis + span])
    flat = x.reshape(*x.shape[:axis], n_rows, *x.shape[axis + span :])
    return np.take(flat, _row_numbers("take", rows, n_rows), axis=axis)


def _scatter_rows_arguments(name: str, x: Any, rows: Any, *, n_rows: int, axis: Any = 0) -> Any:
    x, rows = operand(name, x), _rows(name, rows)
    (n,) = shape_of(name, (n_rows,), x=x)
    i = axis_of(name, x, axis, 1 - len(rows.shape)) if axis else 0
    shape_of(name, (*x.shape[:i], n, *x.shape[i + len(rows.shape) :]), x=x)
    return (x, rows), {"n_rows": n, **({"axis": i} if i else {})}


def _sizes(n_rows: int | Shape) -> Shape:
    return n_rows if isinstance(n_rows, tuple) else (n_rows,)


def _scatter_rows_shape(x: Shape, rows: Shape, *, n_rows: int | Shape, axis: int = 0) -> Shape:
    if x[axis : axis + len(rows)] != rows:
        raise ShapeError(f"scatter_rows: x has shape {x}, rows has shape {rows}")
    return (*x[:axis], *_sizes(n_rows), *x[axis + len(rows) :])


def _scatter_rows_backward(
    g: Any, z: Any, x: Any, rows: Any, *, n_rows: int | Shape, axis: int = 0
) -> Any:
    return take.normal(g, rows, **axes_of_rows(axis, len(_sizes(n_rows))))


def _scatter_rows_flow(bound: BoundOp, position: int, inputs: Any) -> Any:
    x, rows = inputs
    shape = bound.shape(x.shape, rows.shape)
    numbers = np.arange(float(math.prod(shape))).reshape(shape)
    outs = np.ravel(_scatter_rows_backward(numbers, None, x, rows.value, **bound.attributes))
    return outs.astype(np.intp), np.arange(outs.size)


def _scatter_rows_batched(bound: BoundOp, operands: Any, carries: Any) -> Any:
    x, rows = operands
    n_rows, axis = bound.attributes["n_rows"], bound.attributes.get("axis", 0)
    if not carries[1]:
        return scatter_rows.normal(x, rows, n_rows=n_rows, axis=axis + 1)
    x, rows = all_batches(operands, carries)
    sizes = _sizes(n_rows)
    rows = _rows_of_all(rows, len(x), math.prod(sizes))
    added = _scattered(_moved(x, 0, axis), rows, (len(x), *sizes), axis)
    return _moved(added, axis, 0)


@declare(
    arguments=_scatter_rows_arguments,
    batched=_scatter_rows_batched,
    flow=_scatter_rows_flow,
    shape=_scatter_rows_shape,
    backward=(_scatter_rows_backward, None),
    reads="rows",
    examples=[
        Example((Sample((6, 3)), Sample((6,), 0, 4, "integer")), {"n_rows": 4}),
        Example((Sample((2, 2, 3)), Sample((2, 2), -4, 4, "integer")), {"n_rows": 4}),
        Example((Sample((2, 5, 3)), Sample((5,), -4, 4, "integer")), {"n_rows": 4, "axis": 1}),
        Example((Sample((2, 5)), Sample((5,), 0, 6, "integer")), {"n_rows": (2, 3), "axis": 1}),
    ],
    empty=(
        _without_elements((2, 0), (2,), n_rows=3),
        _without_elements((0, 2), (0,), n_rows=3),
        _without_elements((0, 2), (0,), n_rows=0),
        _without_elements((0, 2), (2,), n_rows=3, axis=1),
        _without_elements((2, 0), (0,), n_rows=(2, 3), axis=1),
    ),
)
def scatter_rows(x: Any, rows: Any, *, n_rows: int | Shape, axis: int = 0) -> Any:
    """z = zeros with n rows, to which each x is added at its row: the adjoint of take.

    x : shape rows.shape + (...); rows : as for :func:`take`; z : shape (n_rows, ...). With `axis`
    the axes of `rows` begin there, and the rows of z lie along that axis.
    """
    # n_rows : of a take from several neighbouring axes, which were counted as one, their sizes
    sizes = _sizes(n_rows)
    n, before = math.prod(sizes), x.shape[:axis]
    rest = x.shape[axis + len(rows.shape) :]
    z = np.zeros((*before, n, *rest), dtype=x.dtype)
    numbers = _row_numbers("scatter_rows", rows, n)
    np.add.at(z, (*[slice(None)] * axis, numbers), x)
    return z.reshape(*before, *sizes, *rest)
