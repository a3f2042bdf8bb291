"""Kind `eigh`: eigenvalues and eigenvectors of each matrix of a stack."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.ops.linalg.eigen import no_convergence
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["Eigh"]


@instruction_kind
class Eigh(OfStack):
    """w, v = the eigenvalues of (a + a')/2 in rising order, and its eigenvectors, one a column."""

    name: ClassVar[str] = "eigh"
    ops: ClassVar[tuple[str, ...]] = ("_eigh",)
    can_fail: ClassVar[bool] = True

    a: Operand
    w: Operand
    v: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """How many matrices, of which order."""
        return cls.count_of(instruction), instruction.inputs[0].shape[-1]

    def shapes(self) -> list[Shape]:
        """A matrix, numbers and vectors."""
        return [(self.n, self.n), (self.n,), (self.n, self.n)]

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """LAPACK gave up."""
        return no_convergence(matrix, part)
