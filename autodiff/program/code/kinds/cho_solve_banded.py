"""Kind `cho_solve_banded`: systems whose factor has few diagonals."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.ops.linalg.triangular import triangular_message
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["ChoSolveBanded"]


@instruction_kind
class ChoSolveBanded(OfStack):
    """L L' z = b, by the diagonals of L. k : columns of b."""

    name: ClassVar[str] = "cho_solve_banded"
    ops: ClassVar[tuple[str, ...]] = ("_cho_solve_banded",)
    can_fail: ClassVar[bool] = True

    k: int
    below: int
    c: Operand
    b: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """Sizes, and where the diagonals are."""
        n, k = instruction.inputs[1].shape[-2:]
        return cls.count_of(instruction), n, k, instruction.inputs[0].shape[-2] - 1

    def shapes(self) -> list[Shape]:
        """Diagonals, and columns."""
        columns = self.n, self.k
        return [(self.below + 1, self.n), columns, columns]

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """There is a zero on its diagonal."""
        return triangular_message(matrix, part)
