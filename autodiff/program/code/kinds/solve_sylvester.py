"""Kind `solve_sylvester`: a x + x b = q for each of a stack."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.ops.linalg.functions import no_solution
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["SolveSylvester"]


@instruction_kind
class SolveSylvester(OfStack):
    """a z + z b = q; a has n rows, b has k."""

    name: ClassVar[str] = "solve_sylvester"
    ops: ClassVar[tuple[str, ...]] = ("solve_sylvester",)
    can_fail: ClassVar[bool] = True

    k: int
    a: Operand
    b: Operand
    q: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """How many equations, and their sizes."""
        return cls.count_of(instruction), *instruction.inputs[2].shape[-2:]

    def shapes(self) -> list[Shape]:
        """Two square matrices, and two of one more shape."""
        return [(self.n, self.n), (self.k, self.k), (self.n, self.k), (self.n, self.k)]

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """It is singular."""
        return no_solution(matrix, part)
