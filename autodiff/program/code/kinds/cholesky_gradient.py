"""Kind `cholesky_gradient`: from the gradient of a factor to that of what was factored."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["CholeskyGradient"]


@instruction_kind
class CholeskyGradient(OfStack):
    """z = the gradient of A = L L' from g, that of L; of both, the lower triangle is read."""

    name: ClassVar[str] = "cholesky_gradient"
    ops: ClassVar[tuple[str, ...]] = ("_cholesky_gradient",)

    g: Operand
    factor: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """How many matrices, of which order."""
        return cls.count_of(instruction), instruction.inputs[0].shape[-1]

    def shapes(self) -> list[Shape]:
        """All square."""
        return [(self.n, self.n)] * 3
