"""Kind `band_times`: a matrix with few diagonals times columns."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["BandTimes"]


@instruction_kind
class BandTimes(OfStack):
    """z = a x, or a' x if `turned`, for the matrix of a band. k : columns of x."""

    name: ClassVar[str] = "band_times"
    ops: ClassVar[tuple[str, ...]] = ("_band_times",)

    k: int
    below: int
    above: int
    turned: bool
    a: Operand
    x: Operand
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
