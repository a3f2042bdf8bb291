"""Kind `solve_banded`: systems with few diagonals."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.ops.linalg.lu import singular
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["SolveBanded"]


@instruction_kind
class SolveBanded(OfStack):
    """a z = b, or a' z = b if `turned`, for the matrix of a band. k : columns of b."""

    name: ClassVar[str] = "solve_banded"
    ops: ClassVar[tuple[str, ...]] = ("solve_banded",)
    can_fail: ClassVar[bool] = True

    k: int
    below: int
    above: int
    turned: bool
    a: Operand
    b: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """Sizes, and where the diagonals are."""
        n, k = instruction.inputs[1].shape[-2:]
        band = instruction.op.attributes
        return cls.count_of(instruction), n, k, band["lower"], band["upper"], band["turned"]

    def shapes(self) -> list[Shape]:
        """Diagonals, and columns."""
        columns = self.n, self.k
        return [(self.below + self.above + 1, self.n), columns, columns]

    def attributes(self) -> dict[str, Any]:
        """Where the diagonals are."""
        return {"lower": self.below, "upper": self.above, "turned": self.turned}

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """It has no inverse."""
        return singular(matrix, part)
