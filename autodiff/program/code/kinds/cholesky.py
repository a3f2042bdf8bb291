"""Kind `cholesky`: the factor of each matrix of a stack."""

from __future__ import annotations

from typing import ClassVar

from autodiff.ops.linalg.cholesky import not_definite
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack

__all__ = ["Cholesky"]


@instruction_kind
class Cholesky(OfStack):
    """z = L, lower triangular, where L L' = (a + a')/2."""

    name: ClassVar[str] = "cholesky"
    ops: ClassVar[tuple[str, ...]] = ("cholesky",)
    can_fail: ClassVar[bool] = True

    a: Operand
    z: Operand

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """It is not positive definite."""
        return not_definite(matrix, part)
