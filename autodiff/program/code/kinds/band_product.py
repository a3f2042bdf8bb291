"""Kind `band_product`: the elements of a product that lie in a band."""

from __future__ import annotations

from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction

__all__ = ["BandProduct"]


@instruction_kind
class BandProduct(OfStack):
    """z = the elements of x y' on so many diagonals below and above the main one. k : columns."""

    name: ClassVar[str] = "band_product"
    ops: ClassVar[tuple[str, ...]] = ("_band_product",)

    k: int
    below: int
    above: int
    x: Operand
    y: Operand
    z: Operand

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """Sizes, and where the diagonals are."""
        n, k = instruction.inputs[1].shape[-2:]
        band = instruction.op.attributes
        return cls.count_of(instruction), n, k, band["lower"], band["upper"]

    def shapes(self) -> list[Shape]:
        """Diagonals, and columns."""
        columns = self.n, self.k
        return [columns, columns, (self.below + self.above + 1, self.n)]

    def attributes(self) -> dict[str, Any]:
        """Where the diagonals are."""
        return {"lower": self.below, "upper": self.above}
