"""Basic indices in one normal form: hashable, without negative or missing bounds.

A normal index has one item for each axis of x, in order, and None for each new axis:
an integer drops its axis; (start, stop, step) are the arguments of ``range``, so a stop of
-1 with a negative step means "down to and with element 0".
"""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

from autodiff.array import Shape
from autodiff.errors import IndexRangeError

__all__ = ["Index", "indexed_shape", "normalise_index", "to_numpy"]

Item: TypeAlias = int | tuple[int, int, int] | None
Index: TypeAlias = tuple[Item, ...]


def normalise_index(shape: Shape, index: Any) -> Index:
    """The normal form of a basic `index` into an array of `shape`; IndexRangeError."""
    items = list(index) if isinstance(index, tuple) else [index]
    n_used = sum(item is not None and item is not Ellipsis for item in items)
    if n_used > len(shape):
        raise IndexRangeError(f"getitem: {n_used} indices for shape {shape}")
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise IndexRangeError("getitem: more than one '...'")
    at = dots[0] if dots else len(items)
    items[at : at + 1] = [slice(None)] * (len(shape) - n_used)
    sizes = iter(enumerate(shape))
    return tuple(None if item is None else _item(item, *next(sizes), shape) for item in items)


def _item(item: Any, axis: int, size: int, shape: Shape) -> Item:
    if isinstance(item, slice):
        try:
            return item.indices(size)
        except (TypeError, ValueError) as error:  # bounds that are no integers, a step of 0
            raise IndexRangeError(f"getitem: {item}: {error}") from None
    try:
        number = operator.index(item)
    except TypeError:
        number = None
    if number is None or isinstance(item, bool):
        raise IndexRangeError(
            f"getitem: {item!r} is neither an integer nor a slice; use take for rows by an "
            "integer array, where for a mask"
        )
    if not -size <= number < size:
        raise IndexRangeError(
            f"getitem: index {number} is out of range for axis {axis} of shape {shape}"
        )
    return number % size


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
