"""Kind `cholesky`: the factor of each matrix of a stack."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.ops.linalg.cholesky import not_definite
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["Cholesky"]


@instruction_kind
class Cholesky(OfStack):
    """z = L, lower triangular, where L L' = (a + a')/2."""

    name: ClassVar[str] = "cholesky"
    ops: ClassVar[tuple[str, ...]] = ("cholesky",)
    can_fail: ClassVar[bool] = True

    a: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """How many matrices, of which order."""
        return cls.count_of(instruction), instruction.inputs[0].shape[-1]

    def shapes(self) -> list[Shape]:
        """All square."""
        return [(self.n, self.n)] * 2

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """It is not positive definite."""
        return not_definite(matrix, part)
