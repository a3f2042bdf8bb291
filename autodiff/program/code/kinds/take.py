"""Kind `take`: rows of a table, by number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.errors import AutodiffError, IndexRangeError
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction

__all__ = ["Take"]


@instruction_kind
class Take(Kind):
    """z[i] = x[rows[i]] for i < n; x has `n_rows` rows of `row_size` numbers."""

    name: ClassVar[str] = "take"
    ops: ClassVar[tuple[str, ...]] = ("take",)
    can_fail: ClassVar[bool] = True

    n_rows: int
    row_size: int
    n: int
    x: Operand
    rows: Operand
    z: Operand

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Rows along the first axis."""
        (instruction,) = members
        x, rows = instruction.inputs
        sizes = x.shape[0], math.prod(x.shape[1:]), rows.size
        places = (lowering.place(v) for v in (*instruction.inputs, instruction.output))
        lowering.emit_one(cls(*sizes, *places), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those of the table, and how many rows are numbered."""
        source = machine.source(meaning.sources, "take")
        table, rows = source.inputs
        wanted = table.shape[0], math.prod(table.shape[1:]), rows.size
        if (self.n_rows, self.row_size, self.n) != wanted:
            sizes = self.n_rows, self.row_size, self.n
            machine.fail(f"its sizes {sizes} do not fit {source!r}")
        operands = [(self.x, "its operand"), (self.rows, "its row numbers")]
        machine.from_to(source, operands, self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        table = window(spaces, self.x, (self.n_rows, self.row_size))
        value = find_op("take").forward(table, window(spaces, self.rows, (self.n,)))
        window(spaces, self.z, (self.n, self.row_size))[...] = value

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """A row number that is none: the number, and how many rows there are."""
        return IndexRangeError(f"{numbers[0]:g} is no row of {numbers[1]:g}")

    def text(self, place: Places) -> str:
        """take 5×2×3: z = take(x, rows)."""
        sizes = f"{self.n_rows}×{self.row_size}×{self.n}"
        operands = f"{place(self.x)}, {place(self.rows)}"
        return f"take {sizes}: {place(self.z)} = take({operands})"
