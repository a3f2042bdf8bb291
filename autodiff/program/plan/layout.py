"""Where the elements of a value lie: storages, and strided windows into them.

A view (a slice, a transpose, a reshape where strides allow it) is another window into the
same storage and costs nothing. The parts of a concat are computed straight into
windows of its storage, so it costs nothing either.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from autodiff.array import Array, Shape
from autodiff.op import BoundOp

__all__ = ["Layout", "Storage", "contiguous_strides", "squeezed", "view"]


class Storage:
    """A block of elements: of the arena, of an argument, or an array of its own.

    first, last : the positions in the schedule between which the arena must keep it.
    offset : where it lies in the arena, once that is planned.
    """

    __slots__ = ("argument", "buffer", "first", "label", "last", "offset", "size")

    def __init__(
        self, size: int, *, argument: int = -1, buffer: Array | None = None, label: str = ""
    ) -> None:
        self.size = size
        self.argument = argument
        self.buffer = buffer
        self.label = label
        self.offset = 0
        self.first = -1
        self.last = -1

    @property
    def in_arena(self) -> bool:
        """Whether it needs a place in the arena."""
        return self.argument < 0 and self.buffer is None


class Layout(NamedTuple):
    """Element (i, j, ...) lies at offset + i · strides[0] + j · strides[1] + ..."""

    storage: Storage
    offset: int
    shape: Shape
    strides: tuple[int, ...]

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie one after the other, row by row."""
        return self.strides == contiguous_strides(self.shape) or self._is_in_a_row()

    def _is_in_a_row(self) -> bool:
        """The same where axes of size 1 have any stride."""
        expected = 1
        for n, stride in zip(self.shape[::-1], self.strides[::-1], strict=True):
            if n != 1 and stride != expected:
                return math.prod(self.shape) == 0
            expected *= n
        return True

    def matrix(self) -> tuple[bool, int] | None:
        """(transposed, leading dimension) of the last two axes as BLAS has them, if it can."""
        m, n = self.shape[-2:]
        row, column = self.strides[-2:]
        if (column == 1 or n == 1) and (row >= n or m == 1):
            return False, max(row if m > 1 else n, 1)
        if (row == 1 or m == 1) and (column >= m or n == 1):
            return True, max(column if n > 1 else m, 1)
        return None

    def slice(self, axis: int, start: int, stop: int) -> Layout:
        """The window of elements start ... stop - 1 along one axis."""
        shape = (*self.shape[:axis], stop - start, *self.shape[axis + 1 :])
        return Layout(self.storage, self.offset + start * self.strides[axis], shape, self.strides)

    def reshape(self, shape: Shape) -> Layout | None:
        """The same elements in another shape; None if strides cannot say it."""
        strides = _reshaped(self.shape, self.strides, shape)
        return None if strides is None else Layout(self.storage, self.offset, shape, strides)

    def broadcast(self, shape: Shape) -> tuple[int, ...]:
        """Strides that repeat the elements to `shape`."""
        missing = len(shape) - len(self.shape)
        kept = zip(self.shape, self.strides, shape[missing:], strict=True)
        return (0,) * missing + tuple(0 if n == 1 != want else s for n, s, want in kept)


def squeezed(shape: Shape) -> Shape:
    """`shape` without its axes of size 1."""
    return tuple([n for n in shape if n != 1]) if 1 in shape else shape


@functools.lru_cache(4096)
def contiguous_strides(shape: Shape) -> tuple[int, ...]:
    """Strides of an array that lies row by row."""
    strides: list[int] = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def view(op: BoundOp, x: Layout, shape: Shape) -> Layout | None:
    """The layout of a view of `x` (reshape, transpose, broadcast_to, getitem); None: impossible."""
    name, attributes = op.name, op.attributes
    if name == "reshape":
        return x.reshape(shape)
    if name == "transpose":
        return Layout(x.storage, x.offset, shape, tuple(x.strides[a] for a in attributes["axes"]))
    if name == "broadcast_to":
        return Layout(x.storage, x.offset, shape, x.broadcast(shape))
    offset, strides, axis = x.offset, [], 0
    for item in attributes["index"]:
        if item is None:
            strides.append(0)
            continue
        stride = x.strides[axis]
        axis += 1
        if isinstance(item, int):
            offset += item * stride
        else:
            offset += item[0] * stride if range(*item) else 0
            strides.append(item[2] * stride)
    return Layout(x.storage, offset, shape, tuple(strides))


def _reshaped(old: Shape, strides: Sequence[int], new: Shape) -> tuple[int, ...] | None:
    """Strides for shape `new` of the elements laid out as (old, strides), if there are any.

    Axes of size 1 do not matter; the others are matched group by group of equal size,
    and the axes of an old group must lie contiguously within it.
    """
    if 0 in old:
        return contiguous_strides(new)
    kept = [(n, s) for n, s in zip(old, strides, strict=True) if n != 1]
    result: list[int] = []
    i = j = 0
    while j < len(new):
        if new[j] == 1:
            result.append(0)
            j += 1
            continue
        first, size_old, size_new, start = i, 1, 1, j
        while True:
            if size_old < size_new or size_old == 1:
                size_old *= kept[i][0]
                i += 1
            else:
                size_new *= new[j]
                j += 1
            if size_old == size_new:
                break
        for (_, outer), (n, inner) in zip(kept[first : i - 1], kept[first + 1 : i], strict=True):
            if outer != n * inner:
                return None
        step = kept[i - 1][1]
        group: list[int] = []
        for n in reversed(new[start:j]):
            group.append(step)
            step *= n
        result.extend(reversed(group))
    return tuple(result)
