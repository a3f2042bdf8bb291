"""Kind `lu`: triangular factors of each matrix of a stack, and pivots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.program.code.kind import Emitter, Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction, Value

__all__ = ["Lu"]


@instruction_kind
class Lu(OfStack):
    """z = the factors of a', as LAPACK has them by columns, and a row of pivots."""

    name: ClassVar[str] = "lu"
    ops: ClassVar[tuple[str, ...]] = ("_lu",)
    composed: ClassVar[tuple[str, ...]] = ("solve", "_sign_of_det", "_log_abs_det", "det")

    a: Operand
    z: Operand

    @classmethod
    def legal(cls, e: Emitter, old: Instruction, inputs: Sequence[Value]) -> Value | None:
        """What is asked of a matrix is asked of its factors."""
        if old.op.op.identity is None:
            return None
        found: Value | None = old.op.op.identity(e, old.op, tuple(inputs))
        return found

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """How many matrices, of which order."""
        return cls.count_of(instruction), instruction.inputs[0].shape[-1]

    def shapes(self) -> list[Shape]:
        """One row more than there was."""
        return [(self.n, self.n), (self.n + 1, self.n)]
