"""Kind `sqrtm`: the square root of each matrix of a stack."""

from __future__ import annotations

from typing import ClassVar

from autodiff.ops.linalg.functions import no_root
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack

__all__ = ["Sqrtm"]


@instruction_kind
class Sqrtm(OfStack):
    """z = the principal root: z z = a."""

    name: ClassVar[str] = "sqrtm"
    ops: ClassVar[tuple[str, ...]] = ("sqrtm",)
    can_fail: ClassVar[bool] = True

    a: Operand
    z: Operand

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """There is no real one."""
        return no_root(matrix, part)
