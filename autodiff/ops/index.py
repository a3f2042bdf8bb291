"""Basic indices in one normal form: hashable, without negative or missing bounds.

A normal index has one item for each axis of x, in order, and None for each new axis:
an integer drops its axis; (start, stop, step) are the arguments of ``range``, so a stop of
-1 with a negative step means "down to and with element 0".
"""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

from autodiff.array import Shape
from autodiff.errors import IndexRangeError
from autodiff.ops.arguments import MAX_AXES, brief, whole_number

__all__ = ["Index", "indexed_shape", "normalise_index", "to_numpy", "whole_index"]

Item: TypeAlias = int | tuple[int, int, int] | None
Index: TypeAlias = tuple[Item, ...]


@functools.lru_cache(maxsize=1024)
def whole_index(shape: Shape) -> Index:
    """The index that takes everything."""
    return tuple([(0, n, 1) for n in shape])


def normalise_index(
    shape: Shape, index: Any, name: str = "getitem", *, ranges: bool = False
) -> Index:
    """The normal form of a basic `index` into an array of `shape`; IndexRangeError.

    ranges : items of the normal form, (start, stop, step), are taken too.
    """
    quick = None if ranges else _of_usual_items(shape, index, name)
    if quick is not None:
        return quick
    items = list(index) if isinstance(index, tuple) else [index]
    n_used = sum(item is not None and item is not Ellipsis for item in items)
    if n_used > len(shape):
        raise IndexRangeError(f"{name}: {n_used} indices for shape {shape}")
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise IndexRangeError(f"{name}: more than one '...'")
    if len(shape) + len(items) - n_used - len(dots) > MAX_AXES:
        raise IndexRangeError(f"{name}: no array has more than {MAX_AXES} axes")
    at = dots[0] if dots else len(items)
    items[at : at + 1] = [slice(None)] * (len(shape) - n_used)
    sizes = iter(enumerate(shape))
    normal: list[Item] = []
    for item in items:
        if item is None:
            normal.append(None)
            continue
        axis, size = next(sizes)
        if ranges and isinstance(item, tuple):
            normal.append(_range(item, size, name))
        else:
            normal.append(_item(item, axis, size, shape, name))
    return tuple(normal)


def _of_usual_items(shape: Shape, index: Any, name: str) -> Index | None:
    """The normal form of integers that exist and of slices; None of others."""
    items = index if type(index) is tuple else (index,)
    n_items = len(items)
    if n_items > len(shape):
        return None
    normal: list[Item] = []
    for axis, (item, size) in enumerate(zip(items, shape)):  # noqa: B905 - the rest is whole
        if type(item) is int and -size <= item < size:
            normal.append(item if item >= 0 else item + size)
        elif type(item) is slice:
            normal.append(_item(item, axis, size, shape, name))
        else:
            return None
    return (*normal, *whole_index(shape)[n_items:])


def _item(item: Any, axis: int, size: int, shape: Shape, name: str) -> Item:
    if isinstance(item, slice):
        try:
            start, stop, step = item.indices(size)
        except (TypeError, ValueError) as error:  # bounds that are no integers, a step of 0
            raise IndexRangeError(f"{name}: {brief(item)}: {error}") from None
        if step > size:  # only the first element; a step of any length counts in C
            stop, step = min(stop, start + 1), 1
        return start, stop, max(step, -size - 1)
    number = whole_number(item)
    if number is None:
        raise IndexRangeError(
            f"{name}: {brief(item)} is neither an integer nor a slice, nor an array of integers or "
            "of True and False"
        )
    if not -size <= number < size:
        raise IndexRangeError(
            f"{name}: index {brief(number)} is out of range for axis {axis} of shape {shape}"
        )
    return number % size


def _range(item: tuple[Any, ...], size: int, name: str) -> tuple[int, int, int]:
    numbers = [whole_number(n) for n in item]
    if len(item) == 3 and None not in numbers and numbers[2] != 0:
        start, stop, step = numbers
        taken = range(start, stop, step)  # type: ignore[arg-type]
        if not taken or (0 <= taken[0] < size and 0 <= taken[-1] < size):
            return start, stop, step  # type: ignore[return-value]
    raise IndexRangeError(f"{name}: {brief(item)} is no range on an axis of size {size}")


def indexed_shape(shape: Shape, index: Index) -> Shape:
    """Shape of ``x[index]`` for x of `shape`."""
    return tuple(
        1 if item is None else len(range(*item)) for item in index if not isinstance(item, int)
    )


def to_numpy(index: Index) -> tuple[Any, ...]:
    """The index as NumPy takes it."""
    return tuple(_slice(*item) if isinstance(item, tuple) else item for item in index)


def _slice(start: int, stop: int, step: int) -> slice:
    # An empty range going down would otherwise wrap round through its negative stop.
    if not range(start, stop, step):
        return slice(0, 0)
    return slice(start, None if stop < 0 else stop, step)
