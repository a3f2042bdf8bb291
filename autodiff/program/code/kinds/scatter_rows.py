"""Kind `scatter_rows`: rows added onto a table of zeros, by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.program.code.kind import instruction_kind
from autodiff.program.code.numbers import window
from autodiff.program.code.row_list import RowList
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction, Value

__all__ = ["ScatterRows"]


@instruction_kind
class ScatterRows(RowList):
    """z = 0, then z[rows[i]] += x[i] for i < n; z is the table."""

    name: ClassVar[str] = "scatter_rows"
    ops: ClassVar[tuple[str, ...]] = ("scatter_rows",)

    @classmethod
    def table(cls, instruction: Instruction) -> Value:
        """What rows are added onto."""
        return instruction.output

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        x = window(spaces, self.x, (self.n, self.row_size))
        rows = window(spaces, self.rows, (self.n,))
        total = find_op("scatter_rows").forward(x, rows, n_rows=self.n_rows)
        window(spaces, self.z, (self.n_rows, self.row_size))[...] = total
