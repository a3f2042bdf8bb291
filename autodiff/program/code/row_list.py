"""What the kinds `take` and `scatter_rows` have in common: rows of a table, by number."""

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
    """`n` rows of a table of `n_rows` rows of `row_size` numbers, each by its number in `rows`."""

    can_fail: ClassVar[bool] = True

    n_rows: int
    row_size: int
    n: int
    x: Operand
    rows: Operand
    z: Operand

    @classmethod
    def table(cls, instruction: Instruction) -> Value:
        """What has rows that are numbered."""
        raise NotImplementedError

    @classmethod
    def sizes(cls, instruction: Instruction) -> tuple[int, int, int]:
        """Rows of the table, their size, and how many rows are numbered."""
        shape = cls.table(instruction).shape
        return shape[0], math.prod(shape[1:]), instruction.inputs[1].size

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Rows along the first axis."""
        (instruction,) = members
        places = (lowering.place(v) for v in (*instruction.inputs, instruction.output))
        lowering.emit_one(cls(*cls.sizes(instruction), *places), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those of the table, and how many rows are numbered."""
        source = machine.source(meaning.sources, self.name)
        sizes = self.n_rows, self.row_size, self.n
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
        operands = f"{place(self.x)}, {place(self.rows)}"
        return f"{self.name} {sizes}: {place(self.z)} = {self.name}({operands})"
