"""Elements in another order: axes moved, turned, rolled; parts cut out, put in, taken away.

Parameters are NumPy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.array import is_operand
from autodiff.declare import numpy_name
from autodiff.errors import IndexRangeError, ShapeError
from autodiff.ops.arguments import axes_of, axis_of, brief, operand, several, whole_number
from autodiff.ops.parts import concat, getitem
from autodiff.ops.rows import take
from autodiff.ops.shape import broadcast_to, reshape, transpose
from autodiff.refusal import refusal

__all__ = [
    "array_split",
    "delete",
    "dsplit",
    "ediff1d",
    "flip",
    "fliplr",
    "flipud",
    "hsplit",
    "insert",
    "matrix_transpose",
    "moveaxis",
    "roll",
    "rollaxis",
    "rot90",
    "unstack",
    "vsplit",
]


def cut(x: Any, axis: int, item: Any) -> Any:
    """x, of which `item` is taken along one axis."""
    return getitem(x, (*[slice(None)] * axis, item))


# ---- axes -------------------------------------------------------------------------------


@numpy_name("numpy.moveaxis")
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """a with some axes moved to other places; the others stay in order."""
    x = operand("moveaxis", a, "a")
    sources, targets = _places(x, source, "source"), _places(x, destination, "destination")
    if len(sources) != len(targets):
        raise refusal(
            ShapeError,
            f"moveaxis: {len(sources)} axes cannot be moved to {len(targets)} places",
            a=x,
        )
    order = [i for i in range(len(x.shape)) if i not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return transpose(x, order)


def _places(x: Any, axes: Any, what: str) -> list[int]:
    items = several(axes)
    found = [axis_of("moveaxis", x, a) for a in ((axes,) if items is None else items)]
    if len(set(found)) != len(found):
        raise refusal(ShapeError, f"moveaxis: {what} {brief(axes)} names an axis twice", a=x)
    return found


@numpy_name("numpy.rollaxis")
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """a with an axis moved in front of the axis `start`."""
    x = operand("rollaxis", a, "a")
    i, n = axis_of("rollaxis", x, axis), len(x.shape)
    at = axis_of("rollaxis", x, start, 1 if whole_number(start) == n else 0)
    order = [j for j in range(n) if j != i]
    order.insert(at - (i < at), i)
    return transpose(x, order)


@numpy_name("numpy.matrix_transpose")
def matrix_transpose(x: Any) -> Any:
    """x with its last two axes exchanged."""
    x = operand("matrix_transpose", x)
    n = len(x.shape)
    if n < 2:
        raise refusal(ShapeError, f"matrix_transpose: x has shape {x.shape}, it is no matrix", x=x)
    return transpose(x, (*range(n - 2), n - 1, n - 2))


# ---- turned and rolled ------------------------------------------------------------------


@numpy_name("numpy.flip")
def flip(m: Any, axis: Any = None) -> Any:
    """m with its elements in reverse order along an axis, or several; along all without."""
    x = operand("flip", m, "m")
    axes = axes_of("flip", x, axis)
    back = [slice(None, None, -1) if i in axes else slice(None) for i in range(len(x.shape))]
    return getitem(x, tuple(back))


@numpy_name("numpy.fliplr")
def fliplr(m: Any) -> Any:
    """m in reverse order along axis 1."""
    return flip(_with("fliplr", m, 2), 1)


@numpy_name("numpy.flipud")
def flipud(m: Any) -> Any:
    """m in reverse order along axis 0."""
    return flip(_with("flipud", m, 1), 0)


def _with(name: str, m: Any, n: int) -> Any:
    x = operand(name, m, "m")
    if len(x.shape) < n:
        raise refusal(ShapeError, f"{name}: m has shape {x.shape}, it needs {n} axes", m=x)
    return x


@numpy_name("numpy.rot90")
def rot90(m: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """m turned k times by a quarter, from the first of two axes to the second."""
    x = operand("rot90", m, "m")
    times, items = whole_number(k), several(axes)
    plane = [] if items is None else [axis_of("rot90", x, a) for a in items]
    if times is None or len(plane) != 2 or plane[0] == plane[1]:
        raise refusal(
            ShapeError,
            f"rot90: k must be an integer and axes two of m's, not {brief(k)} and {brief(axes)}",
            m=x,
        )
    i, j = plane
    order = list(range(len(x.shape)))
    order[i], order[j] = j, i
    if times % 4 == 0:
        return x
    if times % 4 == 1:
        return transpose(flip(x, j), order)
    return flip(x, (i, j)) if times % 4 == 2 else flip(transpose(x, order), j)


@numpy_name("numpy.roll")
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """a with its elements moved on by `shift` along an axis, or several; the last come first.

    Without an axis all elements are moved, as if along one.
    """
    x = operand("roll", a, "a")
    if axis is None:
        shifts = several(shift)
        flat = reshape(x, -1)
        for by in (shift,) if shifts is None else shifts:
            flat = _rolled(flat, by, 0)
        return reshape(flat, x.shape)
    shifts, axes = several(shift), several(axis)
    pairs = np.broadcast(
        np.array([shift] if shifts is None else shifts, object),
        np.array([axis] if axes is None else axes, object),
    )
    for by, one in pairs:
        x = _rolled(x, by, axis_of("roll", x, one))
    return x


def _rolled(x: Any, shift: Any, axis: int) -> Any:
    by, size = whole_number(shift), x.shape[axis]
    if by is None:
        raise refusal(ShapeError, f"roll: shift {brief(shift)} is not an integer", a=x)
    if size == 0 or by % size == 0:
        return x
    return concat(
        [cut(x, axis, slice(-(by % size), None)), cut(x, axis, slice(-(by % size)))], axis
    )


# ---- cut apart --------------------------------------------------------------------------


@numpy_name("numpy.array_split")
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """ary cut into so many parts, the first ones longer by one; or before each of the positions."""
    return _split("array_split", ary, indices_or_sections, axis)


def _split(name: str, ary: Any, sections: Any, axis: Any) -> list[Any]:
    x = operand(name, ary, "ary")
    i = axis_of(name, x, axis)
    size, number = x.shape[i], whole_number(sections)
    if number is None:
        items = several(sections)
        if items is None or any(whole_number(n) is None for n in items):
            raise refusal(
                ShapeError, f"{name}: {brief(sections)} is no number of parts, nor positions", ary=x
            )
        cuts: list[Any] = [0, *items, None]
    else:
        if number < 1:
            raise refusal(ShapeError, f"{name}: there are no {brief(number)} parts", ary=x)
        if name != "array_split" and size % number:
            raise refusal(
                ShapeError,
                f"{name}: ary has shape {x.shape}; its axis {i} has no {brief(number)} equal parts",
                ary=x,
            )
        each, longer = divmod(size, number)
        cuts = [k * each + min(k, longer) for k in range(number + 1)]
    return [cut(x, i, slice(a, b)) for a, b in zip(cuts, cuts[1:])]  # noqa: B905, RUF007


@numpy_name("numpy.hsplit")
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """ary cut along axis 1, or 0 if it has no other."""
    x = _with("hsplit", ary, 1)
    return _split("hsplit", x, indices_or_sections, 1 if len(x.shape) > 1 else 0)


@numpy_name("numpy.vsplit")
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """ary cut along axis 0."""
    return _split("vsplit", _with("vsplit", ary, 2), indices_or_sections, 0)


@numpy_name("numpy.dsplit")
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """ary cut along axis 2."""
    return _split("dsplit", _with("dsplit", ary, 3), indices_or_sections, 2)


@numpy_name("numpy.unstack")
def unstack(x: Any, *, axis: int = 0) -> tuple[Any, ...]:
    """The elements along an axis, each without it."""
    x = operand("unstack", x)
    i = axis_of("unstack", x, axis)
    return tuple([cut(x, i, k) for k in range(x.shape[i])])


# ---- put in and taken away --------------------------------------------------------------


@numpy_name("numpy.delete")
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """arr without what lies at `obj` (a number, a slice, a list or a mask) along `axis`."""
    x, i = _along("delete", arr, axis)
    numbers = _known("delete", obj, "obj")
    try:
        left = np.delete(np.arange(x.shape[i]), numbers)
    except (IndexError, ValueError) as error:
        raise refusal(IndexRangeError, f"delete: {error}", arr=x) from None
    return _chosen(x, left, i)


@numpy_name("numpy.insert")
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """arr with `values` put before what lies at `obj` along `axis`."""
    x, i = _along("insert", arr, axis)
    at = _known("insert", obj, "obj")
    at = at if isinstance(at, slice) else np.asarray(at, np.intp if np.size(at) == 0 else None)
    y = operand("insert", values, "values")
    size, rest = x.shape[i], (*x.shape[:i], *x.shape[i + 1 :])
    if len(y.shape) < len(x.shape):
        y = reshape(y, (1,) * (len(x.shape) - len(y.shape)) + y.shape)
    if not isinstance(at, slice) and at.ndim == 0 and at.dtype != bool:
        y = moveaxis(y, 0, i)  # as NumPy has it, so that insert(x, 1, row, axis=1) puts in a column
        count = y.shape[i]
    else:
        chosen = np.arange(size)[at] if isinstance(at, slice) else at
        count = int(chosen.sum()) if chosen.dtype == bool else chosen.size
        if count == 1:
            count = y.shape[i]
    try:
        y = broadcast_to(y, (*rest[:i], count, *rest[i:]))
        order = np.insert(np.arange(size), at, size + np.arange(count))
    except (IndexError, ValueError) as error:
        raise refusal(IndexRangeError, f"insert: {error}", arr=x, values=y) from None
    return _chosen(concat([x, y], i), order, i)


def _along(name: str, arr: Any, axis: Any) -> tuple[Any, int]:
    """An operand and an axis; without one, all of its elements along one."""
    x = operand(name, arr, "arr")
    return (reshape(x, -1), 0) if axis is None else (x, axis_of(name, x, axis))


def _known(name: str, numbers: Any, what: str) -> Any:
    """Numbers that decide about a shape, so that they cannot be those of a node."""
    if is_operand(numbers):
        raise refusal(
            IndexRangeError,
            f"{name}: {what} decides about the shape and cannot be a node; give its value",
            **{what: numbers},
        )
    return numbers


def _chosen(x: Any, numbers: Any, axis: int) -> Any:
    """Elements of these numbers along an axis; a slice of neighbours."""
    n = len(numbers)
    if n == 0 or (numbers == np.arange(numbers[0], numbers[0] + n)).all():
        start = int(numbers[0]) if n else 0
        return cut(x, axis, slice(start, start + n))
    return take(x, numbers, axis)


@numpy_name("numpy.ediff1d")
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours, all elements along one axis; with what comes before and after."""
    x = reshape(operand("ediff1d", ary, "ary"), -1)
    parts = [getitem(x, slice(1, None)) - getitem(x, slice(-1))]
    if to_begin is not None:
        parts.insert(0, reshape(operand("ediff1d", to_begin, "to_begin"), -1))
    if to_end is not None:
        parts.append(reshape(operand("ediff1d", to_end, "to_end"), -1))
    return parts[0] if len(parts) == 1 else concat(parts, 0)
