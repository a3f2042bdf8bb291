"""Kind `svd`: singular values and vectors of each matrix of a stack."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.ops.linalg.eigen import no_convergence
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["Svd"]


@instruction_kind
class Svd(OfStack):
    """a = u diag(s) vh, of n rows and k columns; as many columns of u as there are values."""

    name: ClassVar[str] = "svd"
    ops: ClassVar[tuple[str, ...]] = ("_svd",)
    can_fail: ClassVar[bool] = True

    k: int
    a: Operand
    u: Operand
    s: Operand
    vh: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """How many matrices, of how many rows and columns."""
        return cls.count_of(instruction), *instruction.inputs[0].shape[-2:]

    def shapes(self) -> list[Shape]:
        """A matrix, and its parts."""
        least = min(self.n, self.k)
        return [(self.n, self.k), (self.n, least), (least,), (least, self.k)]

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """LAPACK gave up."""
        return no_convergence(matrix, part)
