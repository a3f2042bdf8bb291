"""Kind `take`: rows of tables, by number."""

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
    """z[k, i] = x[k, rows[i]] for k < outer, i < n; x are the tables."""

    name: ClassVar[str] = "take"
    ops: ClassVar[tuple[str, ...]] = ("take",)

    @classmethod
    def table(cls, instruction: Instruction) -> Value:
        """What rows are taken of."""
        return instruction.inputs[0]

    @classmethod
    def axes(cls, instruction: Instruction) -> tuple[int, int]:
        """Of x."""
        axis = instruction.op.attributes.get("axis", 0)
        return axis, axis + instruction.op.attributes.get("span", 1)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        tables = window(spaces, self.x, (self.outer, self.n_rows, self.row_size))
        value = find_op("take").forward(tables, window(spaces, self.rows, (self.n,)), axis=1)
        window(spaces, self.z, (self.outer, self.n, self.row_size))[...] = value
