"""Kind `expm`: the exponential of each matrix of a stack."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["Expm"]


@instruction_kind
class Expm(OfStack):
    """z = exp(a)."""

    name: ClassVar[str] = "expm"
    ops: ClassVar[tuple[str, ...]] = ("expm",)

    a: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """How many matrices, of which order."""
        return cls.count_of(instruction), instruction.inputs[0].shape[-1]

    def shapes(self) -> list[Shape]:
        """All square."""
        return [(self.n, self.n)] * 2
