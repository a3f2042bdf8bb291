"""Indices of arrays, as NumPy has them: masks, lists and arrays of integers, mixed with the rest.

An index is taken apart into a basic one (integers, slices, None), which comes first, and what is
then taken by number along neighbouring axes: one array of numbers, into which the index arrays are
made by broadcasting, as positions in these axes counted as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from autodiff.array import Shape, as_float64, is_operand
from autodiff.declare import declare
from autodiff.errors import AutodiffError, IndexRangeError, ShapeError
from autodiff.op import BoundOp, Example, Sample
from autodiff.ops.arguments import MAX_AXES, brief, whole_number
from autodiff.ops.batches import all_batches
from autodiff.ops.masks import flatnonzero, is_mask, is_numbers
from autodiff.ops.shape import broadcast_to
from autodiff.refusal import refusal

__all__ = [
    "Gathering",
    "Piece",
    "from_the_front",
    "integers",
    "is_advanced",
    "joined",
    "taken_apart",
]


class Piece(NamedTuple):
    """Numbers that choose along some neighbouring axes, counted as one.

    axis : the first one. sizes : of these axes.
    """

    numbers: Any
    axis: int
    sizes: Shape


class _Item(NamedTuple):
    """Of an index: what it is, whether it is an array, and for how many axes."""

    value: Any
    array: bool
    n_axes: int


@dataclass
class Gathering:
    """An index in two steps: ``x[basic]``, then rows of that by number.

    axis, span : which axes of ``x[basic]`` the numbers count; order : in which its axes must be
        brought before, None: as they are. first : whether the axes of the numbers must go to the
        front at last.
    """

    basic: tuple[Any, ...]
    numbers: Any
    axis: int
    span: int
    order: tuple[int, ...] | None
    first: bool


def is_advanced(index: Any) -> bool:
    """Whether an index has an item that is an array, a list, or True or False."""
    if type(index) is not tuple:
        return _is_array(index)
    return any(map(_is_array, _with_lists(index)))


def _with_lists(index: tuple[Any, ...]) -> list[Any]:
    """The items of an index; a tuple within it is a list of numbers, as for NumPy."""
    return [list(item) if type(item) is tuple else item for item in index]


def _is_array(item: Any) -> bool:
    if item is None or item is Ellipsis or isinstance(item, slice):
        return False
    if isinstance(item, (bool, np.bool_, list, np.ndarray)):
        return whole_number(item) is None
    if is_operand(item):
        return True
    return whole_number(item) is None and hasattr(item, "__array__")


# ---- taking an index apart --------------------------------------------------------------


def taken_apart(name: str, x: Any, index: Any) -> Gathering:
    """The two steps of an index with arrays into `x`.

    Raises
    ------
    IndexRangeError
        If it is none: too many items, a mask of another shape, numbers out of range.
    """
    if type(index) is not tuple and x.shape:
        array = _read(name, x, index)
        if array.shape or not is_mask(array):
            piece = _piece(name, x, _Item(array, True, _axes_of(array)), 0, 0)
            return Gathering((), _as_floats(piece.numbers), 0, len(piece.sizes), None, False)
    basic: list[Any] = []
    pieces: list[Piece] = []
    runs, within = 0, False  # how often arrays and integers begin, next to each other
    axis = out = 0  # axis of x, and of x[basic]
    for item in _whole(name, x, _with_lists(index) if type(index) is tuple else [index]):
        value, array, n_axes = item
        if value is Ellipsis:
            within = False
            continue
        chooses = array or whole_number(value) is not None
        runs, within = runs + (chooses and not within), chooses
        if array:
            piece = _piece(name, x, item, axis, out)
            pieces.append(piece)
            basic += [slice(None)] * n_axes or [None]
            out += len(piece.sizes)
        else:
            basic.append(value)
            out += not chooses
        axis += n_axes
    numbers = joined(name, pieces, x)
    axes = [piece.axis + i for piece in pieces for i in range(len(piece.sizes))]
    neighbours = axes == list(range(axes[0], axes[0] + len(axes)))
    if neighbours:
        return Gathering(tuple(basic), numbers, axes[0], len(axes), None, runs > 1)
    order = (*axes, *(a for a in range(out) if a not in axes))
    return Gathering(tuple(basic), numbers, 0, len(axes), order, False)


def _read(name: str, x: Any, item: Any) -> Any:
    """An item of an index as an array of integers or of True and False; a node as it is."""
    if is_operand(item):
        return item
    try:
        if isinstance(item, list):
            as_float64(item, name)  # refuses nodes among them
        array = np.asarray(item)
    except (AutodiffError, ValueError) as error:
        raise refusal(IndexRangeError, f"{name}: {brief(item)} is no index: {error}", x=x) from None
    if isinstance(item, list) and array.size == 0:
        array = array.astype(np.intp)
    if array.dtype.kind not in "iub":
        raise refusal(
            IndexRangeError,
            f"{name}: an index of {array.dtype}: {brief(item)}; arrays in an index hold integers, "
            "or True and False",
            x=x,
        )
    return array


def integers(name: str, numbers: Any, what: str) -> Any:
    """An array of integers that an operation is given; IndexRangeError."""
    try:
        array = np.asarray(as_float64(numbers, name) if isinstance(numbers, list) else numbers)
    except AutodiffError as error:
        raise refusal(IndexRangeError, f"{name}: {brief(numbers)}: {error}") from None
    whole = np.asarray(numbers)
    if whole.size and whole.dtype.kind not in "iu":
        raise refusal(
            IndexRangeError, f"{name}: {what} must be integers, not {whole.dtype}: {brief(numbers)}"
        )
    return array.astype(np.intp)


def _whole(name: str, x: Any, index: list[Any]) -> list[_Item]:
    """The items, read, with slices for the axes that none of them, or the dots, stand for."""
    shape = x.shape
    items: list[_Item] = []
    used, dots = 0, None
    for i, item in enumerate(index):
        if item is Ellipsis:
            if dots is not None:
                raise refusal(IndexRangeError, f"{name}: more than one '...'", x=x)
            dots = i
            continue
        if _is_array(item):
            array = _read(name, x, item)
            items.append(_Item(array, True, _axes_of(array)))
        else:
            items.append(_Item(item, False, int(item is not None)))
        used += items[-1].n_axes
    if used > len(shape):
        raise refusal(IndexRangeError, f"{name}: indices for {used} axes, x has shape {shape}", x=x)
    at = len(items) if dots is None else dots
    missing = len(shape) - used
    # Dots that stand for no axis still come between arrays.
    between = [_Item(Ellipsis, False, 0)] if dots is not None and not missing else []
    items[at:at] = between or [_Item(slice(None), False, 1)] * missing
    if len(items) > MAX_AXES:
        raise refusal(IndexRangeError, f"{name}: no array has more than {MAX_AXES} axes", x=x)
    return items


def _axes_of(array: Any) -> int:
    """How many axes an array in an index is for."""
    return len(array.shape) if is_mask(array) else 1


def _piece(name: str, x: Any, item: _Item, axis: int, out: int) -> Piece:
    """What an array in an index chooses from axis `axis` of x on; `out`: that axis of x[basic]."""
    array, _, n_axes = item
    sizes = x.shape[axis : axis + n_axes]
    if is_mask(array):
        if array.shape != sizes:
            raise refusal(
                IndexRangeError,
                f"{name}: a mask of shape {array.shape} for what has shape {sizes}: "
                f"x has shape {x.shape}, and the mask begins at axis {axis}",
                x=x,
            )
        return Piece(flatnonzero(array), out, sizes or (1,))
    if is_operand(array):
        _refuse_doubtful(name, x, array, axis)
        return Piece(array, out, sizes)
    return Piece(from_the_front(name, x, array, axis), out, sizes)


def from_the_front(name: str, x: Any, array: Any, axis: int) -> Any:
    """Integers in an index, all of them counted from the front."""
    size = x.shape[axis]
    if not array.size:
        return array
    least, most = int(array.min()), int(array.max())
    if least < -size or most >= size:
        bad = array[(array < -size) | (array >= size)].flat[0]
        raise refusal(
            IndexRangeError,
            f"{name}: index {bad} is out of range for axis {axis} of shape {x.shape}",
            x=x,
        )
    if least >= 0:
        return array
    array = array.astype(np.intp)
    return np.where(array < 0, array + size, array)


def _refuse_doubtful(name: str, x: Any, item: Any, axis: int) -> None:
    """A node of the shape of a mask, of which nobody can tell whether it is one."""
    n = len(item.shape)
    if n == 0 or item.shape != x.shape[axis : axis + n] or is_numbers(item):
        return
    stored = getattr(item, "stored", None) if hasattr(item, "forward") else None
    if isinstance(stored, np.ndarray) and not np.isin(stored, (0.0, 1.0)).all():
        return
    raise refusal(
        IndexRangeError,
        f"{name}: an index of the shape {item.shape} of what it chooses from may be a mask, or "
        "numbers; write take(x, index) for numbers, x[index == 1.0] for a mask",
        x=x,
        index=item,
    )


# ---- several arrays as one --------------------------------------------------------------


def joined(name: str, pieces: list[Piece], x: Any) -> Any:
    """The numbers of all pieces, broadcast, as positions in all their axes counted as one."""
    if len(pieces) == 1:
        return _as_floats(pieces[0].numbers)
    shapes = [piece.numbers.shape for piece in pieces]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        text = ", ".join(map(str, shapes))
        raise refusal(
            IndexRangeError, f"{name}: arrays in an index do not broadcast: {text}", x=x
        ) from None
    total, n_total = pieces[0].numbers, math.prod(pieces[0].sizes)
    for numbers, _, sizes in pieces[1:]:
        n = math.prod(sizes)
        if is_operand(total) or is_operand(numbers):
            total, numbers = (
                broadcast_to(y if is_operand(y) else np.asarray(y, np.float64), shape)
                for y in (total, numbers)
            )
            total = _join_numbers.normal(total, numbers, n_first=n_total, n_second=n)
        else:
            total = np.asarray(total, np.intp) * n + np.asarray(numbers, np.intp)
        n_total *= n
    return _as_floats(total)


def _as_floats(numbers: Any) -> Any:
    return numbers if is_operand(numbers) else np.asarray(numbers, np.float64)


def _counted(numbers: Any, size: int) -> Any:
    """Whole numbers of an axis of that size, counted from the front."""
    numbers = np.asarray(numbers).real
    bad = ~((numbers >= -size) & (numbers < size) & (numbers == np.floor(numbers)))
    if bad.any():
        raise IndexRangeError(
            f"join_numbers: {numbers[bad].flat[0]:g} is no number of an axis of size {size}"
        )
    return np.where(numbers < 0, numbers + size, numbers)


def _join_shape(first: Shape, second: Shape, *, n_first: int, n_second: int) -> Shape:
    if first != second:
        raise ShapeError(f"join_numbers: first has shape {first}, second has shape {second}")
    return first


def _join_batched(bound: BoundOp, operands: Sequence[Any], carries: Sequence[bool]) -> Any:
    return _join_numbers.normal(*all_batches(operands, carries), **bound.attributes)


@declare(
    shape=_join_shape,
    backward=(None, None),
    batched=_join_batched,
    ulps=0.0,
    examples=[
        Example(
            (Sample((2, 3), -4, 4, "integer"), Sample((2, 3), -5, 5, "integer")),
            {"n_first": 4, "n_second": 5},
        ),
        Example((Sample((), 0, 4, "integer"), Sample((), 0, 1, "integer")),
                {"n_first": 4, "n_second": 1}),
    ],
    empty=(
        Example((Sample((0,), 0, 1, "integer"), Sample((0,), 0, 1, "integer")),
                {"n_first": 0, "n_second": 3}),
    ),
)  # fmt: skip
def _join_numbers(first: Any, second: Any, *, n_first: int, n_second: int) -> Any:
    """z = first · n_second + second: positions in two axes as positions in one; no gradient.

    Numbers below 0 count from the end. Raises IndexRangeError when computed, if an axis (of size
    n_first, n_second) has no such number.
    """
    return _counted(first, n_first) * n_second + _counted(second, n_second)
