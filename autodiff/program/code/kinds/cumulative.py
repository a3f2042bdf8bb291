"""Kind `cumulative`: running sums and products, and linear recurrences, along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.program.code.along import around
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction

__all__ = ["Cumulative"]


@instruction_kind
class Cumulative(Kind):
    """x[outer, n, inner] to z of the same shape, each number by those before it along n.

    reverse : from the last to the first. a : the factors of a recurrence, or None.
    """

    name: ClassVar[str] = "cumulative"
    ops: ClassVar[tuple[str, ...]] = ("cumsum", "cumprod", "_recurrence")

    op: str
    outer: int
    n: int
    inner: int
    reverse: bool
    x: Operand
    a: Operand | None
    z: Operand

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Along one axis."""
        (instruction,) = members
        attributes = instruction.op.attributes
        x, *a = map(lowering.place, instruction.inputs)
        sizes = around(instruction.output.shape, attributes["axis"])
        assert sizes is not None
        z = lowering.place(instruction.output)
        made = cls(instruction.op.name, *sizes, attributes["reverse"], x, a[0] if a else None, z)
        lowering.emit_one(made, instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those around the axis, its direction the op's."""
        source = machine.source(meaning.sources, self.op)
        sizes = self.outer, self.n, self.inner
        attributes = source.op.attributes
        fits = sizes == around(source.output.shape, attributes["axis"])
        if not fits or self.reverse != attributes["reverse"]:
            machine.fail(f"its sizes {sizes}, or its direction, are not those of {source!r}")
        if (self.a is None) != (len(source.inputs) == 1):
            machine.fail(f"its operands are not those of {source!r}")
        operands = [(self.x, "its operand")]
        operands += [] if self.a is None else [(self.a, "its factors")]
        machine.from_to(source, operands, self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        shape = self.outer, self.n, self.inner
        operands = [window(spaces, x, shape) for x in (self.x, self.a) if x is not None]
        value = find_op(self.op).forward(*operands, axis=1, reverse=self.reverse)
        window(spaces, self.z, shape)[...] = value

    def text(self, place: Places) -> str:
        """cumsum 1×4×1: z = cumsum(x)."""
        sizes = f"{self.outer}×{self.n}×{self.inner}" + (" reverse" if self.reverse else "")
        operands = ", ".join(place(x) for x in (self.x, self.a) if x is not None)
        return f"{self.title()} {sizes}: {place(self.z)} = {self.title()}({operands})"

    def title(self) -> str:
        """Which op it is."""
        return self.op.removeprefix("_")
