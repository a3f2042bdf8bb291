"""The machine on which the verifier executes code: memories that hold tags in place of numbers.

A kind says with its methods what an instruction reads and writes (:meth:`Kind.check`); whatever is
not as the program has it ends in :meth:`Machine.fail`.

Rows of few tags are bytes: comparing and moving those takes a tenth of the time that arrays do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, TypeAlias

import numpy as np

from autodiff.array import Shape
from autodiff.errors import VerificationError
from autodiff.program.code.flat import Code, Operand, Region, region_code, regions_of
from autodiff.program.code.tags import FEW, NOTHING, Memory, Row, TaggedValues, Tags
from autodiff.program.ir import Instruction, Program, Value

__all__ = ["Machine", "same"]

Strides: TypeAlias = Sequence[int]


def same(found: Tags, wanted: Tags) -> bool:
    """Whether two arrays of tags are equal."""
    if found.size <= FEW:
        return found.shape == wanted.shape and found.tobytes() == wanted.tobytes()
    return bool(np.array_equal(found, wanted))


class Machine:
    """The memories of a program: arena, arguments and buffers.

    verify : proves code that an instruction owns.
    """

    def __init__(
        self, code: Code, tagged: TaggedValues, verify: Callable[[Code, Program], None]
    ) -> None:
        self.code = code
        self.tagged = tagged
        self._verify = verify
        self.itemsize = tagged.dtype.itemsize
        self.spaces = self._memories()

    def _memories(self) -> list[Memory]:
        code, tagged, program = self.code, self.tagged, self.tagged.program
        if code.arguments != [x.shape for x in program.arguments]:
            self.fail("its arguments are not those of the program")
        if not len(code.instructions) == len(code.meanings) == len(code.labels):
            self.fail("there must be one meaning for each instruction")
        arena: Tags = np.full(code.arena_size, NOTHING, tagged.dtype)
        spaces = [Memory(arena, True)]
        spaces += [Memory(tagged.of(x).reshape(-1), False) for x in program.arguments]
        assigned = {id(state.buffer) for state, _ in program.writes}
        owned = self._seen_by_regions()
        for number, buffer in enumerate(code.buffers):
            if number == 0:
                scalars = [tagged.scalar(float(s)) for s in buffer]
                spaces.append(Memory(np.array(scalars, tagged.dtype), False))
            elif (leaf := tagged.leaves.get(id(buffer))) is not None:
                tags = tagged.of(leaf).reshape(-1)
                spaces.append(Memory(tags, id(buffer) in assigned))
            elif len(spaces) in owned:  # nothing that the program itself has
                spaces.append(Memory(np.full(buffer.size, NOTHING, tagged.dtype), False))
            else:
                self.fail(f"buffer {number} belongs to no value of the program")
        return spaces

    def _seen_by_regions(self) -> set[int]:
        """The spaces that code which instructions own has for buffers."""
        regions = [region for i in self.code.instructions for region in regions_of(i)]
        return {space for region in regions for space in region.buffers}

    def fail(self, message: str) -> NoReturn:
        """The code does not do what it must."""
        raise VerificationError(message)

    def source(self, sources: Sequence[Instruction | None], *names: str) -> Instruction:
        """The one instruction that must be carried out, of an op of one of these names."""
        (source,) = sources
        if source is None or source.op.name not in names:
            self.fail(f"it must be {source!r}")
        return source

    def check_region(self, region: Region, program: Program, lowered: Code) -> None:
        """Code that an instruction owns must compute `program`.

        lowered : of the instruction's meaning, which has one for each region.
        """
        try:
            self._verify(region_code(region, lowered, self.code), program)
        except VerificationError as error:
            self.fail(f"in what it owns, {error}")

    # ---- windows ----------------------------------------------------------------------

    def window(self, place: Operand, shape: Shape, strides: Strides | None = None) -> Tags:
        """The tags where an operand says; its own strides, or one row after the other."""
        space, offset = place
        if space < 0 or offset < 0:
            self.fail(f"operand {place} lies nowhere")
        tags = self.spaces[space].tags
        if 0 in shape:
            return np.empty(shape, self.tagged.dtype)
        if strides is None:
            size = math.prod(shape)
            if offset + size > tags.size:
                self.fail(f"operand {place} of {size} numbers leaves its space")
            return tags[offset : offset + size].reshape(shape)
        if len(strides) != len(shape):
            self.fail(f"operand {place} has {len(strides)} strides for {len(shape)} axes")
        size = self.itemsize
        try:
            return np.ndarray(
                shape, tags.dtype, tags, size * offset, tuple([size * s for s in strides])
            )
        except (TypeError, ValueError):
            self.fail(f"operand {place} leaves its space")

    def row(self, place: Operand, shape: Shape, strides: Strides) -> Row:
        """The tags of a window, one row of the array after the other."""
        space, offset = place
        if len(strides) == len(shape) <= 1 and space >= 0 <= offset:
            n, stride = (shape[0], strides[0]) if shape else (1, 1)
            memory = self.spaces[space]
            if memory.bytes is not None and stride == 1 and n <= FEW:
                stop = (offset + n) * self.itemsize
                if stop > len(memory.bytes):
                    self.fail(f"operand {place} leaves its space")
                return bytes(memory.bytes[offset * self.itemsize : stop])
            if memory.fresh:
                row = memory.rows.get((offset, n, stride))
                if row is None:
                    row = self.tagged.row(self.window(place, shape, strides))
                    memory.rows[offset, n, stride] = row
                return row
        return self.tagged.row(self.window(place, shape, strides))

    def put(self, place: Operand, shape: Shape, strides: Strides, row: Row) -> None:
        """Put a row of tags in a window of memory that may be written."""
        memory = self.spaces[place.space].bytes
        if memory is not None and type(row) is bytes and shape and strides == (1,):
            start = place.offset * self.itemsize
            if 0 <= start <= len(memory) - len(row):
                memory[start : start + len(row)] = row
                return
        self.window(place, shape, strides)[...] = self.tagged.array(row).reshape(shape)

    def expect(self, found: Tags, wanted: Tags, what: str) -> None:
        """The window must hold these tags."""
        if found.shape == wanted.shape and same(found, wanted):
            return
        if found.shape != wanted.shape:
            self.fail(f"{what} has shape {found.shape}, it must have {wanted.shape}")
        at = tuple(np.argwhere(found != wanted)[0])
        self.fail(
            f"{what} must hold {self.tagged.text(int(wanted[at]))}, "
            f"it holds {self.tagged.text(int(found[at]))}"
        )

    def is_whole(self, place: Operand, x: Value) -> bool:
        """Whether an operand is a given array, which nothing has written to yet."""
        memory = self.spaces[place[0]]
        return (
            memory.fresh
            and place[0] > 0
            and place[1] == 0
            and memory.tags.size == x.size > 0
            and self.tagged.first.get(x) == int(memory.tags[0])
            and x.producer is None
        )

    def begin_write(self, place: Operand) -> Memory:
        """The memory of an operand that is written."""
        memory = self.spaces[place[0]]
        if not memory.writable:
            self.fail(f"it writes to {place}, which is not to be written")
        if memory.fresh:
            memory.begin()
        return memory

    def write(self, place: Operand, strides: Strides | None, tags: Tags, *reads: Tags) -> None:
        """Put tags in a window, which none of the windows `reads` may overlap.

        (Get the windows after begin_write, if they are of the same space.)
        """
        self.begin_write(place)
        target = self.window(place, tags.shape, strides)
        if any(np.may_share_memory(target, r) for r in reads):
            target[...] = NOTHING
            if any(bool((r == NOTHING).any()) for r in reads):
                self.fail(f"what it writes to {place} overlaps what it reads")
        target[...] = tags
        if strides is not None and not same(target, tags):
            self.fail(f"it writes more than once to the same place, at {place}")

    def from_to(
        self, source: Instruction, operands: Iterable[tuple[Operand, str]], *places: Operand
    ) -> None:
        """An op of contiguous operands (and what they are called) with contiguous outputs."""
        reads = []
        for z in places:
            self.begin_write(z)
        for (place, what), value in zip(operands, source.inputs, strict=True):
            window = self.window(place, value.shape)
            if not self.is_whole(place, value):
                self.expect(window, self.tagged.of(value), what)
            reads.append(window)
        wanted = [(z, self.tagged.of(x)) for z, x in zip(places, source.outputs, strict=True)]
        for z, tags in wanted:
            self.write(z, None, tags, *reads)
        for z, tags in wanted if len(wanted) > 1 else ():
            self.expect(self.window(z, tags.shape), tags, "an output that no other overlaps")
