"""Kind `scatter_rows`: rows added onto a table of zeros, by number."""

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

__all__ = ["ScatterRows"]


@instruction_kind
class ScatterRows(Kind):
    """z = 0, then z[rows[i]] += x[i] for i < n; z has `n_rows` rows of `row_size` numbers."""

    name: ClassVar[str] = "scatter_rows"
    ops: ClassVar[tuple[str, ...]] = ("scatter_rows",)
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
        _, rows = instruction.inputs
        table = instruction.output
        sizes = table.shape[0], math.prod(table.shape[1:]), rows.size
        places = (lowering.place(v) for v in (*instruction.inputs, instruction.output))
        lowering.emit_one(cls(*sizes, *places), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those of the table, and how many rows are numbered."""
        source = machine.source(meaning.sources, "scatter_rows")
        _, rows = source.inputs
        table = source.output
        wanted = table.shape[0], math.prod(table.shape[1:]), rows.size
        if (self.n_rows, self.row_size, self.n) != wanted:
            sizes = self.n_rows, self.row_size, self.n
            machine.fail(f"its sizes {sizes} do not fit {source!r}")
        operands = [(self.x, "its operand"), (self.rows, "its row numbers")]
        machine.from_to(source, operands, self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        x = window(spaces, self.x, (self.n, self.row_size))
        rows = window(spaces, self.rows, (self.n,))
        total = find_op("scatter_rows").forward(x, rows, n_rows=self.n_rows)
        window(spaces, self.z, (self.n_rows, self.row_size))[...] = total

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """A row number that is none: the number, and how many rows there are."""
        return IndexRangeError(f"{numbers[0]:g} is no row of {numbers[1]:g}")

    def text(self, place: Places) -> str:
        """scatter_rows 5×2×3: z = scatter_rows(x, rows)."""
        sizes = f"{self.n_rows}×{self.row_size}×{self.n}"
        operands = f"{place(self.x)}, {place(self.rows)}"
        return f"scatter_rows {sizes}: {place(self.z)} = scatter_rows({operands})"
