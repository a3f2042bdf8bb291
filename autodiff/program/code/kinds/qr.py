"""Kind `qr`: orthogonal columns and a triangle for each matrix of a stack."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["Qr"]


@instruction_kind
class Qr(OfStack):
    """a = q r, of n rows and k columns, not more."""

    name: ClassVar[str] = "qr"
    ops: ClassVar[tuple[str, ...]] = ("_qr",)

    k: int
    a: Operand
    q: Operand
    r: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """How many matrices, of how many rows and columns."""
        return cls.count_of(instruction), *instruction.inputs[0].shape[-2:]

    def shapes(self) -> list[Shape]:
        """A matrix, and its parts."""
        return [(self.n, self.k), (self.n, self.k), (self.k, self.k)]
