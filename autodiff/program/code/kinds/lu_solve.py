"""Kind `lu_solve`: systems with a matrix whose factors are known."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.ops.linalg.lu import singular
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["LuSolve"]


@instruction_kind
class LuSolve(OfStack):
    """a z = b, or a' z = b if `turned`, by the factors f of a. k : columns of b."""

    name: ClassVar[str] = "lu_solve"
    ops: ClassVar[tuple[str, ...]] = ("_lu_solve",)
    can_fail: ClassVar[bool] = True

    k: int
    turned: bool
    f: Operand
    b: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """Sizes, and whether it is a'."""
        n, k = instruction.inputs[1].shape[-2:]
        return cls.count_of(instruction), n, k, instruction.op.attributes["turned"]

    def shapes(self) -> list[Shape]:
        """Factors and columns."""
        return [(self.n + 1, self.n), (self.n, self.k), (self.n, self.k)]

    def attributes(self) -> dict[str, Any]:
        """Whether it is a'."""
        return {"turned": self.turned}

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """It has no inverse."""
        return singular(matrix, part)
