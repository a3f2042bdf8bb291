"""Kind `cholesky_banded_gradient`: from the gradient of a factor to that of a matrix."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["CholeskyBandedGradient"]


@instruction_kind
class CholeskyBandedGradient(OfStack):
    """z = the gradient of the diagonals of A = L L' from g, that of those of L."""

    name: ClassVar[str] = "cholesky_banded_gradient"
    ops: ClassVar[tuple[str, ...]] = ("_cholesky_banded_gradient",)

    below: int
    g: Operand
    factor: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """Sizes, and where the diagonals are."""
        *_, rows, n = instruction.inputs[0].shape
        return cls.count_of(instruction), n, rows - 1

    def shapes(self) -> list[Shape]:
        """Diagonals, and columns."""
        return [(self.below + 1, self.n)] * 3
