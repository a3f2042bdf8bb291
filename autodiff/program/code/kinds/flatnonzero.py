"""Kind `flatnonzero`: the positions of what is not 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.errors import AutodiffError, ShapeError
from autodiff.ops.masks import changed
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction

__all__ = ["Flatnonzero"]

_OP = "_flatnonzero"


@instruction_kind
class Flatnonzero(Kind):
    """z = the numbers i < n at which x[i] is not 0; there must be `count` of them."""

    name: ClassVar[str] = "flatnonzero"
    ops: ClassVar[tuple[str, ...]] = (_OP,)
    can_fail: ClassVar[bool] = True

    n: int
    count: int
    x: Operand
    z: Operand

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """One row of numbers to another."""
        (instruction,) = members
        (x,) = instruction.inputs
        count = instruction.op.attributes["count"]
        places = lowering.place(x), lowering.place(instruction.output)
        lowering.emit_one(cls(x.size, count, *places), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those of its operand, and of what it promises."""
        source = machine.source(meaning.sources, _OP)
        wanted = source.inputs[0].size, source.op.attributes["count"]
        if (self.n, self.count) != wanted:
            machine.fail(f"its sizes {self.n}, {self.count} do not fit {source!r}")
        machine.from_to(source, [(self.x, "its operand")], self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        value = find_op(_OP).forward(window(spaces, self.x, (self.n,)), count=self.count)
        window(spaces, self.z, (self.count,))[...] = value

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """Another count: the one found, and the one promised."""
        return ShapeError(changed(numbers[0], numbers[1]))

    def text(self, place: Places) -> str:
        """flatnonzero 3 of 5: z = flatnonzero(x)."""
        return (
            f"flatnonzero {self.count} of {self.n}: {place(self.z)} = flatnonzero({place(self.x)})"
        )
