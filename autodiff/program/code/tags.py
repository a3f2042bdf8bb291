"""Tags: a number for every element of every value of a program.

A computed value has tags of its own. Views say by ordinary indexing of tags what they consist of.
The verifier executes code on memories that hold tags in place of numbers.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autodiff.array import Shape
from autodiff.program.ir import Program, Value

__all__ = ["FEW", "NOTHING", "Memory", "Row", "TaggedValues", "Tags"]

Tags: TypeAlias = NDArray[Any]  # int32 or int64
Row: TypeAlias = "bytes | Tags"  # tags one after the other: bytes if they are few

NOTHING = -1  # the tag of memory that nothing has written, or that was spoilt
SPOILT = -2  # to see who else looks at a place
FEW = 1024


class TaggedValues:
    """The values of a program, each with the tags of its elements."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.first: dict[Value, int] = {}
        self.starts: list[int] = []  # first tags, in order
        self.owners: list[Value | float] = []  # of each of `starts`
        self.numbers: dict[bytes, int] = {}  # tags of scalar constants, by their bits
        self.leaves: dict[int, Value] = {}  # states and constants, by their buffers
        self.count = 0
        self.scalar(0.0)  # tag 0, so that rules that put zeros say so with tags, too
        for x in program.arguments:
            self._own(x)
        for instruction in program.instructions:
            self._give(instruction.inputs)
            if not instruction.op.op.moves:
                for z in instruction.outputs:
                    self._own(z)
        self._give(program.outputs)
        self._give(state for state, _ in program.writes)
        self.dtype = np.dtype(np.int32 if self.count < 2**30 else np.int64)
        self.all: Tags = np.arange(self.count + 2**16, dtype=self.dtype)
        self._spoilt = np.full(FEW, SPOILT, self.dtype).tobytes()
        self.tags: dict[Value, Tags] = {}
        self.rows: dict[Value, Row] = {}
        self.flats: dict[tuple[Value, Shape], Row] = {}

    def _give(self, values: Iterable[Value]) -> None:
        for x in values:
            if x.producer is not None or x in self.first or x.kind == "argument":
                continue
            assert x.buffer is not None
            if x.kind == "constant" and x.size == 1:
                self.first[x] = self.scalar(float(x.buffer.reshape(())))
            elif (known := self.leaves.get(id(x.buffer))) is not None:
                self.first[x] = self.first[known]
            else:
                self._own(x)
            self.leaves.setdefault(id(x.buffer), x)

    def _own(self, x: Value | float) -> int:
        first = self.count
        self.starts.append(first)
        self.owners.append(x)
        if isinstance(x, Value):
            self.first[x] = first
            self.count += x.size
        else:
            self.count += 1
        return first

    def scalar(self, number: float) -> int:
        """The tag of a scalar constant."""
        bits = np.float64(number).tobytes()
        if bits not in self.numbers:
            self.numbers[bits] = self._own(number)
        return self.numbers[bits]

    def of(self, x: Value) -> Tags:
        """The tags of a value, in its shape."""
        tags = self.tags.get(x)
        if tags is None:
            first = self.first.get(x)
            if first is None:
                tags = self._moved(x)
            else:
                tags = self.all[first : first + x.size].reshape(x.shape)
            self.tags[x] = tags
        return tags

    def _moved(self, value: Value) -> Tags:
        """Tags of what only moves elements; its inputs' first, without recursion."""
        pending = [value]
        while pending:
            x = pending[-1]
            missing = [y for y in x.inputs if y not in self.tags and y not in self.first]
            if missing:
                pending.extend(missing)
                continue
            pending.pop()
            if x not in self.tags:
                self.tags[x] = self._move(x, [self.of(y) for y in x.inputs])
        return self.tags[value]

    def _move(self, value: Value, inputs: list[Tags]) -> Tags:
        """The op's own rule, applied to tags: it computes nothing."""
        assert value.producer is not None
        op = value.producer.op
        moved = op.forward(inputs)[value.position] if op.op.several else op.forward(inputs)
        return np.asarray(moved).astype(self.dtype, copy=False)

    def row(self, tags: Tags) -> Row:
        """An array of tags, row by row."""
        return tags.tobytes() if tags.size <= FEW else tags.reshape(-1)

    def array(self, row: Row) -> Tags:
        """A row as an array."""
        return np.frombuffer(row, self.dtype) if isinstance(row, bytes) else row

    def spoilt(self, size: int) -> Row:
        """A row of a tag that nothing else has."""
        if size > FEW:
            return np.full(size, SPOILT, self.dtype)
        return self._spoilt[: size * self.dtype.itemsize]

    def flat(self, x: Value, shape: Shape) -> Row:
        """The tags of a value repeated to a shape, row by row."""
        if x.shape == shape:
            found = self.rows.get(x)
            if found is None:
                found = self.rows[x] = self._new_row(x)
            return found
        found = self.flats.get((x, shape))
        if found is None:
            found = self.row(np.broadcast_to(self.of(x), shape))
            self.flats[x, shape] = found
        return found

    def _new_row(self, x: Value) -> Row:
        first = self.first.get(x)
        if first is None:
            return self.row(self.of(x))
        size = x.size
        tags = self.all[first : first + size]
        return tags.tobytes() if size <= FEW else tags

    def text(self, tag: int) -> str:
        """What a tag stands for."""
        if tag < 0:
            return "nothing"
        place = bisect.bisect_right(self.starts, tag) - 1
        owner = self.owners[place]
        if not isinstance(owner, Value):
            return f"the number {owner:g}"
        index = np.unravel_index(tag - self.starts[place], owner.shape or (1,))
        return f"element {[int(i) for i in index]} of {owner!r}"


class Memory:
    """One space: its tags; `fresh` until something is written.

    bytes : the same memory as bytes, once something may have been written.
    rows : what was read, while it is fresh: by offset, length and stride.
    """

    __slots__ = ("bytes", "fresh", "rows", "tags", "writable")

    def __init__(self, tags: Tags, writable: bool) -> None:
        self.tags = tags
        self.writable = writable
        self.fresh = True
        self.bytes: bytearray | None = None
        self.rows: dict[tuple[int, int, int], Row] = {}

    def begin(self) -> None:
        """Make room of its own, for something is about to be written."""
        self.fresh = False
        self.rows.clear()
        self.bytes = bytearray(self.tags.tobytes())
        self.tags = np.frombuffer(self.bytes, self.tags.dtype)
