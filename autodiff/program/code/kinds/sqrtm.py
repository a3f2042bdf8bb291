"""Kind `sqrtm`: the square root of each matrix of a stack."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.ops.linalg.functions import no_root
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["Sqrtm"]


@instruction_kind
class Sqrtm(OfStack):
    """z = the principal root: z z = a."""

    name: ClassVar[str] = "sqrtm"
    ops: ClassVar[tuple[str, ...]] = ("sqrtm",)
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
        """There is no real one."""
        return no_root(matrix, part)
