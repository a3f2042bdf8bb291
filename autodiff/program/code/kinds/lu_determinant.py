"""Kind `lu_determinant`: determinants by factors."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["LuDeterminant"]


@instruction_kind
class LuDeterminant(OfStack):
    """z = the determinant by factors f ("det"), its sign, or the logarithm of its size ("log")."""

    name: ClassVar[str] = "lu_determinant"
    ops: ClassVar[tuple[str, ...]] = ("_lu_determinant",)

    what: str
    f: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """Sizes, and what is asked for."""
        what = instruction.op.attributes["what"]
        return cls.count_of(instruction), instruction.inputs[0].shape[-1], what

    def shapes(self) -> list[Shape]:
        """Factors, and a number."""
        return [(self.n + 1, self.n), ()]

    def attributes(self) -> dict[str, Any]:
        """What is asked for."""
        return {"what": self.what}
