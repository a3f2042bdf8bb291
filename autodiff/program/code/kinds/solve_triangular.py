"""Kind `solve_triangular`: systems with a triangular matrix."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.ops.linalg.triangular import triangular_message
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["SolveTriangular"]


@instruction_kind
class SolveTriangular(OfStack):
    """a z = b, or a' z = b if `turned`, by one triangle of a; `unit`: with ones on its diagonal.

    k : columns of b.
    """

    name: ClassVar[str] = "solve_triangular"
    ops: ClassVar[tuple[str, ...]] = ("solve_triangular",)
    can_fail: ClassVar[bool] = True

    k: int
    is_lower: bool
    turned: bool
    unit: bool
    a: Operand
    b: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """Sizes, and which triangle."""
        n, k = instruction.inputs[1].shape[-2:]
        found = instruction.op.attributes
        return cls.count_of(instruction), n, k, found["lower"], found["turned"], found["unit"]

    def shapes(self) -> list[Shape]:
        """A square matrix and columns."""
        return [(self.n, self.n), (self.n, self.k), (self.n, self.k)]

    def attributes(self) -> dict[str, Any]:
        """Which triangle."""
        return {"lower": self.is_lower, "turned": self.turned, "unit": self.unit}

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """There is a zero on its diagonal."""
        return triangular_message(matrix, part)
