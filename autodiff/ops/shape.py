"""Ops that move elements and compute nothing: reshape, transpose, slices, joins.

Each has its adjoint in the table too (a slice and its scatter, rows taken and rows
scattered), so that gradients of gradients stay within the table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from autodiff.array import Shape, is_operand
from autodiff.declare import declare
from autodiff.errors import IndexRangeError, ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import (
    axes_of,
    axis_of,
    brief,
    operand,
    parts_of,
    several,
    shape_of,
    whole_number,
)
from autodiff.ops.index import Index, indexed_shape, normalise_index, to_numpy
from autodiff.refusal import refusal

__all__ = [
    "broadcast_to",
    "concat",
    "expand_dims",
    "getitem",
    "reshape",
    "scatter_rows",
    "scatter_slice",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "take",
    "transpose",
]

IntLike: TypeAlias = int | np.integer[Any]


# ---- the same elements in another shape -----------------------------------------------


@declare(
    moves=True,
    view=True,
    shape=lambda x, *, shape: shape,
    backward=lambda g, z, x, *, shape: reshape(g, x.shape),
    examples=[
        Example((Sample((3, 4)),), {"shape": (2, 6)}),
        Example((Sample((3, 4)),), {"shape": (12,)}),
        Example((Sample(()),), {"shape": (1, 1)}),
    ],
)
def _reshape(x: Any, *, shape: Shape) -> Any:
    """z = x in another shape, row by row."""
    return np.reshape(x, shape)


def reshape(x: Any, shape: IntLike | Sequence[IntLike]) -> Any:
    """z = x in another shape, read and written row by row; one size may be -1."""
    x = operand("reshape", x)
    have, want = x.shape, shape_of("reshape", shape, unknown=True, x=x)
    size, known = math.prod(have), math.prod(n for n in want if n != -1)
    if want.count(-1) == 1 and known > 0 and size % known == 0:
        want = tuple(size // known if n == -1 else n for n in want)
    if any(n < 0 for n in want) or math.prod(want) != size:
        raise refusal(
            ShapeError,
            f"reshape: x has shape {have}, {size} elements; they do not fill {want}",
            x=x,
        )
    return x if want == have else _reshape(x, shape=want)


@declare(
    moves=True,
    view=True,
    shape=lambda x, *, axes: tuple(x[a] for a in axes),
    backward=lambda g, z, x, *, axes: transpose(g, tuple(np.argsort(axes))),
    examples=[
        Example((Sample((3, 4)),), {"axes": (1, 0)}),
        Example((Sample((2, 3, 4)),), {"axes": (2, 0, 1)}),
    ],
)
def _transpose(x: Any, *, axes: tuple[int, ...]) -> Any:
    """z = x with its axes in another order."""
    return np.transpose(x, axes)


def transpose(x: Any, axes: Sequence[IntLike] | None = None) -> Any:
    """z = x with its axes in the order `axes`; reversed without."""
    x = operand("transpose", x)
    n_axes = len(x.shape)
    if axes is None:
        order = tuple(range(n_axes))[::-1]
    else:
        items = several(axes)
        order = () if items is None else tuple([axis_of("transpose", x, a) for a in items])
        if items is None or sorted(order) != list(range(n_axes)):
            raise refusal(
                ShapeError,
                f"transpose: x has shape {x.shape}; {brief(axes)} is no order of its axes",
                x=x,
            )
    return x if order == tuple(range(n_axes)) else _transpose(x, axes=order)


def swapaxes(x: Any, first: int, second: int) -> Any:
    """z = x with two axes exchanged."""
    x = operand("swapaxes", x)
    i, j = axis_of("swapaxes", x, first), axis_of("swapaxes", x, second)
    order = list(range(len(x.shape)))
    order[i], order[j] = j, i
    return transpose(x, order)


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """z = x with a new axis of size 1 at `axis`, or at each of several."""
    x = operand("expand_dims", x)
    sizes = list(x.shape)
    for i in axes_of("expand_dims", x, axis, new=True):  # in rising order
        sizes.insert(i, 1)
    return reshape(x, sizes)


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """z = x without its axis `axis`, or several, which must have size 1; without all such."""
    x = operand("squeeze", x)
    if axis is None:
        return reshape(x, [n for n in x.shape if n != 1])
    axes = axes_of("squeeze", x, axis)
    if any(x.shape[i] != 1 for i in axes):
        raise refusal(
            ShapeError, f"squeeze: x has shape {x.shape}; axis {axis} is not of size 1", x=x
        )
    return reshape(x, [n for i, n in enumerate(x.shape) if i not in axes])


def _broadcast_to_backward(g: Any, z: Any, x: Any, *, shape: Shape) -> Any:
    return g  # of shape `shape`; summed to x's by the caller


@declare(
    moves=True,
    view=True,
    shape=lambda x, *, shape: shape,
    backward=_broadcast_to_backward,
    examples=[
        Example((Sample((4,)),), {"shape": (3, 4)}),
        Example((Sample((3, 1)),), {"shape": (2, 3, 4)}),
        Example((Sample(()),), {"shape": (2, 3)}),
    ],
)
def _broadcast_to(x: Any, *, shape: Shape) -> Any:
    """z = x repeated to a larger shape."""
    return np.broadcast_to(x, shape)


def broadcast_to(x: Any, shape: IntLike | Sequence[IntLike]) -> Any:
    """z = x repeated to `shape` by NumPy's broadcasting rule."""
    x = operand("broadcast_to", x)
    have, want = x.shape, shape_of("broadcast_to", shape, x=x)
    known = want[len(want) - len(have) :]
    if len(have) > len(want) or any(n not in (1, m) for n, m in zip(have, known, strict=True)):
        raise refusal(
            ShapeError, f"broadcast_to: x has shape {have}; it does not broadcast to {want}", x=x
        )
    return x if want == have else _broadcast_to(x, shape=want)


# ---- joins and cuts -------------------------------------------------------------------


def _concat_shape(*shapes: Shape, axis: int) -> Shape:
    first = shapes[0]
    for i, shape in enumerate(shapes):
        others = shape[:axis] + shape[axis + 1 :]
        if len(shape) != len(first) or others != first[:axis] + first[axis + 1 :]:
            raise ShapeError(
                f"concat: along axis {axis}, parts[0] has shape {first}, "
                f"but parts[{i}] has shape {shape}"
            )
    return (*first[:axis], builtin_sum(s[axis] for s in shapes), *first[axis + 1 :])


builtin_sum = sum  # this module's neighbours shadow it


def _concat_backward(g: Any, z: Any, *parts: Any, axis: int, position: int) -> Any:
    start = builtin_sum(p.shape[axis] for p in parts[:position])
    stop = start + parts[position].shape[axis]
    return getitem(g, (*[slice(None)] * axis, slice(start, stop)))


@declare(
    moves=True,
    view=True,
    shape=_concat_shape,
    backward=_concat_backward,
    examples=[
        Example((Sample((3, 2)), Sample((3, 5))), {"axis": 1}),
        Example((Sample((2, 3)), Sample((1, 3)), Sample((4, 3))), {"axis": 0}),
        Example((Sample((2, 1, 3)), Sample((2, 4, 3)), Sample((2, 0, 3))), {"axis": 1}),
        Example((Sample((5,)),), {"axis": 0}),
    ],
)
def _concat(*parts: Any, axis: int) -> Any:
    """z = the parts one after the other along an axis."""
    return np.concatenate(parts, axis=axis)


def concat(parts: Iterable[Any], axis: int = -1) -> Any:
    """z = the parts one after the other along `axis`; the other sizes must agree."""
    parts = parts_of("concat", parts)
    return _concat(*parts, axis=axis_of("concat", parts[0], axis))


def stack(parts: Iterable[Any], axis: int = 0) -> Any:
    """z = the parts, all of one shape, side by side along a new axis."""
    parts = parts_of("stack", parts)
    first = parts[0]
    at = axis_of("stack", first, axis, 1)
    for i, part in enumerate(parts):
        if part.shape != first.shape:
            name = f"parts[{i}]"
            raise refusal(
                ShapeError,
                f"stack: parts[0] has shape {first.shape}, but {name} has shape {part.shape}",
                **{"parts[0]": first, name: part},
            )
    shape = (*first.shape[:at], 1, *first.shape[at:])
    return _concat(*[_reshape(part, shape=shape) for part in parts], axis=at)


# An axis of size 0 has any number of equal parts, but nobody wants more than these.
_MAX_PARTS_OF_NOTHING = 1 << 16


def split(x: Any, sections: int | Sequence[int], axis: int = -1) -> list[Any]:
    """Cut x along `axis`: into n equal parts, or before each of the given positions.

    Raises ShapeError if n does not divide the size, or positions are not in order.
    """
    x = operand("split", x)
    i = axis_of("split", x, axis)
    size = x.shape[i]
    number = whole_number(sections)
    if number is not None:
        if not 1 <= number <= (size or _MAX_PARTS_OF_NOTHING) or size % number:
            raise refusal(
                ShapeError,
                f"split: x has shape {x.shape}; its axis {axis} has no {brief(number)} equal parts",
                x=x,
            )
        cuts = [size // number * k for k in range(number + 1)]
    else:
        items = several(sections)
        positions = [] if items is None else [whole_number(n) for n in items]
        cuts = [0, *(-1 if n is None else n for n in positions), size]
        if items is None or sorted(cuts) != cuts:
            raise refusal(
                ShapeError,
                f"split: x has shape {x.shape}; {brief(sections)} is neither a number of parts "
                f"nor positions in order on axis {axis}",
                x=x,
            )
    return [
        getitem(x, (*[slice(None)] * i, slice(start, stop)))
        for start, stop in itertools.pairwise(cuts)
    ]


def _getitem_backward(g: Any, z: Any, x: Any, *, index: Index) -> Any:
    return _scatter_slice(g, index=index, shape=x.shape)


@declare(
    moves=True,
    view=True,
    sparse=True,
    shape=lambda x, *, index: indexed_shape(x, index),
    backward=_getitem_backward,
    examples=[
        Example((Sample((3, 4)),), {"index": ((0, 3, 1), (1, 3, 1))}),
        Example((Sample((5, 4)),), {"index": ((4, -1, -2), 2)}),
        Example((Sample((2, 3, 4)),), {"index": (1, None, (0, 3, 2), (0, 4, 1))}),
    ],
)
def _getitem(x: Any, *, index: Index) -> Any:
    """z = x[index], basic indexing."""
    return x[to_numpy(index)]


def getitem(x: Any, index: Any) -> Any:
    """z = x[index] for integers, slices, None and Ellipsis.

    Raises
    ------
    IndexRangeError
        If an integer is out of range, there are too many indices, or one is an array
        (for rows by an integer array use :func:`take`, for masks :func:`where`).
    """
    x = operand("getitem", x)
    shape = x.shape
    try:
        normal = normalise_index(shape, index)
    except IndexRangeError as error:
        raise refusal(IndexRangeError, str(error), x=x) from None
    whole = tuple((0, n, 1) for n in shape)
    return x if normal == whole else _getitem(x, index=normal)


def _scatter_slice_shape(x: Shape, *, index: Index, shape: Shape) -> Shape:
    return shape


@declare(
    moves=True,
    shape=_scatter_slice_shape,
    backward=lambda g, z, x, *, index, shape: _getitem(g, index=index),
    examples=[
        Example((Sample((3, 2)),), {"index": ((0, 3, 1), (1, 3, 1)), "shape": (3, 4)}),
        Example((Sample((3,)),), {"index": ((4, -1, -2), 2), "shape": (5, 4)}),
    ],
)
def _scatter_slice(x: Any, *, index: Index, shape: Shape) -> Any:
    """z = zeros, but z[index] = x: the adjoint of a slice."""
    z = np.zeros(shape, dtype=x.dtype)
    z[to_numpy(index)] = x
    return z


def scatter_slice(x: Any, *, index: Any, shape: IntLike | Sequence[IntLike]) -> Any:
    """z = zeros of `shape`, but z[index] = x: the adjoint of a slice.

    index : as for :func:`getitem`, or in normal form, where (start, stop, step) are those of a
    ``range``. Raises IndexRangeError, or ShapeError if x does not have the shape of z[index].
    """
    x = operand("scatter_slice", x)
    whole = shape_of("scatter_slice", shape, x=x)
    try:
        normal = normalise_index(whole, index, "scatter_slice", ranges=True)
    except IndexRangeError as error:
        raise refusal(IndexRangeError, str(error), x=x) from None
    if x.shape != indexed_shape(whole, normal):
        raise refusal(
            ShapeError,
            f"scatter_slice: x has shape {x.shape}, z[index] has shape "
            f"{indexed_shape(whole, normal)}",
            x=x,
        )
    return _scatter_slice(x, index=normal, shape=whole)


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


def _take_shape(x: Shape, rows: Shape) -> Shape:
    if not x:
        raise ShapeError("take: x has no rows, it is a scalar")
    return rows + x[1:]


def _take_backward(g: Any, z: Any, x: Any, rows: Any) -> Any:
    return _scatter_rows(g, rows, n_rows=x.shape[0])


@declare(
    ulps=0.0,
    sparse=True,
    shape=_take_shape,
    backward=(_take_backward, None),
    reads="rows",
    examples=[
        Example((Sample((4, 3)), Sample((6,), 0, 4, "integer"))),
        Example((Sample((4, 2, 3)), Sample((2, 2), -4, 4, "integer"))),
        Example((Sample((4,)), Sample((), 0, 4, "integer"))),
    ],
)
def _take(x: Any, rows: Any) -> Any:
    """z = x[rows]: rows of x by number; a row taken twice gets both gradients."""
    return x[_row_numbers("take", rows, x.shape[0])]


def take(x: Any, rows: Any) -> Any:
    """z = x[rows]: rows of x by number; a row taken twice gets both gradients.

    x : shape (n, ...); rows : integers in -n ... n - 1, of any shape; z : shape
    rows.shape + x.shape[1:]. Raises IndexRangeError when computed, if a row does not exist.
    """
    return _take(operand("take", x), _rows("take", rows))


def _scatter_rows_shape(x: Shape, rows: Shape, *, n_rows: int) -> Shape:
    if x[: len(rows)] != rows:
        raise ShapeError(f"scatter_rows: x has shape {x}, rows has shape {rows}")
    return (n_rows, *x[len(rows) :])


@declare(
    shape=_scatter_rows_shape,
    backward=(lambda g, z, x, rows, *, n_rows: _take(g, rows), None),
    reads="rows",
    examples=[
        Example((Sample((6, 3)), Sample((6,), 0, 4, "integer")), {"n_rows": 4}),
        Example((Sample((2, 2, 3)), Sample((2, 2), -4, 4, "integer")), {"n_rows": 4}),
    ],
)
def _scatter_rows(x: Any, rows: Any, *, n_rows: int) -> Any:
    """z = zeros with n rows, to which each x is added at its row: the adjoint of take."""
    z = np.zeros((n_rows, *x.shape[len(rows.shape) :]), dtype=x.dtype)
    np.add.at(z, _row_numbers("scatter_rows", rows, n_rows), x)
    return z


def scatter_rows(x: Any, rows: Any, *, n_rows: int) -> Any:
    """z = zeros with n rows, to which each x is added at its row: the adjoint of take.

    x : shape rows.shape + (...); rows : as for :func:`take`; z : shape (n_rows, ...).
    """
    x, rows = operand("scatter_rows", x), _rows("scatter_rows", rows)
    (n,) = shape_of("scatter_rows", (n_rows,), x=x)
    shape_of("scatter_rows", (n, *x.shape[len(rows.shape) :]), x=x)
    return _scatter_rows(x, rows, n_rows=n)
