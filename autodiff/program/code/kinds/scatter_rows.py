"""Kind `scatter_rows`: rows added onto tables of zeros, by number."""

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
    """z = 0, then z[k, rows[i]] += x[k, i] for k < outer, i < n; z are the tables."""

    name: ClassVar[str] = "scatter_rows"
    ops: ClassVar[tuple[str, ...]] = ("scatter_rows",)

    @classmethod
    def table(cls, instruction: Instruction) -> Value:
        """What rows are added onto."""
        return instruction.output

    @classmethod
    def axes(cls, instruction: Instruction) -> tuple[int, int]:
        """Of the output."""
        attributes = instruction.op.attributes
        axis, n_rows = attributes.get("axis", 0), attributes["n_rows"]
        return axis, axis + (len(n_rows) if isinstance(n_rows, tuple) else 1)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        x = window(spaces, self.x, (self.outer, self.n, self.row_size))
        rows = window(spaces, self.rows, (self.n,))
        total = find_op("scatter_rows").forward(x, rows, n_rows=self.n_rows, axis=1)
        window(spaces, self.z, (self.outer, self.n_rows, self.row_size))[...] = total
