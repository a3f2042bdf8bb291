"""The arena: one block of memory in which values that live at different times overlap."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from autodiff.program.plan.layout import Storage

__all__ = ["ALIGNMENT", "plan"]

ALIGNMENT = 8  # doubles: 64 bytes, a cache line and a vector of the widest kind


def plan(storages: Iterable[Storage], *, reuse: bool = True) -> int:
    """Give every storage its offset; returns the size of the arena, in doubles.

    Storages whose lives (first ... last, both inclusive) overlap do not overlap in memory.
    Freed blocks are reused best fit first, the larger ones being cut; neighbours are joined.
    """
    pending = sorted((s for s in storages if s.first >= 0), key=lambda s: (s.first, -s.size))
    by_end = sorted(pending, key=lambda s: s.last)
    free = _FreeBlocks()
    top = dead = 0
    for storage in pending:
        while reuse and by_end[dead].last < storage.first:
            free.give_back(by_end[dead].offset, _rounded(by_end[dead].size))
            dead += 1
        size = _rounded(storage.size)
        offset = free.take(size)
        if offset is None:
            offset = top
            top += size
        storage.offset = offset
    return top


def _rounded(size: int) -> int:
    return -(-max(size, 1) // ALIGNMENT) * ALIGNMENT


class _FreeBlocks:
    """Free blocks, by size for the search and by both ends for the joining."""

    def __init__(self) -> None:
        self.by_size: list[tuple[int, int]] = []  # (size, offset), sorted
        self.starts: dict[int, int] = {}  # offset: size
        self.ends: dict[int, int] = {}  # end: offset

    def take(self, size: int) -> int | None:
        """The offset of a block of `size`, cut from the smallest that has it."""
        i = bisect.bisect_left(self.by_size, (size, -1))
        if i == len(self.by_size):
            return None
        have, offset = self.by_size[i]
        self._remove(offset, have)
        if have > size:
            self._insert(offset + size, have - size)
        return offset

    def give_back(self, offset: int, size: int) -> None:
        """Make a block free, joined with free neighbours."""
        if offset in self.ends:
            start = self.ends[offset]
            length = self.starts[start]
            self._remove(start, length)
            offset, size = start, size + length
        if offset + size in self.starts:
            length = self.starts[offset + size]
            self._remove(offset + size, length)
            size += length
        self._insert(offset, size)

    def _insert(self, offset: int, size: int) -> None:
        bisect.insort(self.by_size, (size, offset))
        self.starts[offset] = size
        self.ends[offset + size] = offset

    def _remove(self, offset: int, size: int) -> None:
        del self.by_size[bisect.bisect_left(self.by_size, (size, offset))]
        del self.starts[offset]
        del self.ends[offset + size]
