"""Kind `take`: rows of a table, by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.program.code.kind import instruction_kind
from autodiff.program.code.numbers import window
from autodiff.program.code.row_list import RowList
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction, Value

__all__ = ["Take"]


@instruction_kind
class Take(RowList):
    """z[i] = x[rows[i]] for i < n; x is the table."""

    name: ClassVar[str] = "take"
    ops: ClassVar[tuple[str, ...]] = ("take",)

    @classmethod
    def table(cls, instruction: Instruction) -> Value:
        """What rows are taken of."""
        return instruction.inputs[0]

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        table = window(spaces, self.x, (self.n_rows, self.row_size))
        value = find_op("take").forward(table, window(spaces, self.rows, (self.n,)))
        window(spaces, self.z, (self.n, self.row_size))[...] = value
