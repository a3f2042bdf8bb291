"""What the kinds `take` and `scatter_rows` have in common: rows of tables, by number."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

from autodiff.errors import AutodiffError, IndexRangeError
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.ir import Instruction, Value

__all__ = ["RowList"]


@dataclasses.dataclass(frozen=True, slots=True)
class RowList(Kind):
    """`n` rows of a table of `n_rows` rows of `row_size` numbers, each by its number in `rows`.

    outer : how many tables there are, one after the other; the same rows of each.
    """

    can_fail: ClassVar[bool] = True

    n_rows: int
    row_size: int
    n: int
    x: Operand
    rows: Operand
    z: Operand
    outer: int = 1

    @classmethod
    def table(cls, instruction: Instruction) -> Value:
        """What has rows that are numbered."""
        raise NotImplementedError

    @classmethod
    def axes(cls, instruction: Instruction) -> tuple[int, int]:
        """The first axis of the table along which its rows lie, and the first one of a row."""
        raise NotImplementedError

    @classmethod
    def sizes(cls, instruction: Instruction) -> tuple[int, int, int, int]:
        """Rows of a table, their size, how many are numbered, and how many tables there are."""
        shape = cls.table(instruction).shape
        first, last = cls.axes(instruction)
        n_rows, row_size = math.prod(shape[first:last]), math.prod(shape[last:])
        return n_rows, row_size, instruction.inputs[1].size, math.prod(shape[:first])

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Rows of contiguous tables."""
        (instruction,) = members
        n_rows, row_size, n, outer = cls.sizes(instruction)
        x, rows = map(lowering.place, instruction.inputs)
        z = lowering.place(instruction.output)
        lowering.emit_one(cls(n_rows, row_size, n, x, rows, z, outer), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those of the table, and how many rows are numbered."""
        source = machine.source(meaning.sources, self.name)
        sizes = self.n_rows, self.row_size, self.n, self.outer
        if sizes != self.sizes(source):
            machine.fail(f"its sizes {sizes} do not fit {source!r}")
        operands = [(self.x, "its operand"), (self.rows, "its row numbers")]
        machine.from_to(source, operands, self.z)

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """A row number that is none: the number, and how many rows there are."""
        return IndexRangeError(f"{numbers[0]:g} is no row of {numbers[1]:g}")

    def text(self, place: Places) -> str:
        """take 5×2×3: z = take(x, rows)."""
        sizes = f"{self.n_rows}×{self.row_size}×{self.n}"
        if self.outer != 1:
            sizes = f"{self.outer}×{sizes}"
        operands = f"{place(self.x)}, {place(self.rows)}"
        return f"{self.name} {sizes}: {place(self.z)} = {self.name}({operands})"
