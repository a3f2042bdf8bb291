"""Kind `cholesky_banded`: factors with few diagonals."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.ops.linalg.cholesky import not_definite
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["CholeskyBanded"]


@instruction_kind
class CholeskyBanded(OfStack):
    """z = the diagonals of L, where L L' = a, from the main one down."""

    name: ClassVar[str] = "cholesky_banded"
    ops: ClassVar[tuple[str, ...]] = ("_cholesky_banded",)
    can_fail: ClassVar[bool] = True

    below: int
    a: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """Sizes, and where the diagonals are."""
        *_, rows, n = instruction.inputs[0].shape
        return cls.count_of(instruction), n, rows - 1

    def shapes(self) -> list[Shape]:
        """Diagonals, and columns."""
        return [(self.below + 1, self.n)] * 2

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """It is not positive definite."""
        return not_definite(matrix, part)
