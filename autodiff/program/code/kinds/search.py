"""Kind `search`: where numbers belong among others that are in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction

__all__ = ["Search"]

_OP = "searchsorted"


@instruction_kind
class Search(Kind):
    """z[i] = how many of n numbers x are less than y[i] (right: or equal to it), for i < m."""

    name: ClassVar[str] = "search"
    ops: ClassVar[tuple[str, ...]] = (_OP,)

    n: int
    m: int
    right: bool
    x: Operand
    y: Operand
    z: Operand

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Rows of numbers."""
        (instruction,) = members
        x, y = instruction.inputs
        right = instruction.op.attributes["side"] == "right"
        places = map(lowering.place, (x, y, instruction.output))
        lowering.emit_one(cls(x.size, y.size, right, *places), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those of its operands."""
        source = machine.source(meaning.sources, _OP)
        x, y = source.inputs
        wanted = x.size, y.size, source.op.attributes["side"] == "right"
        if (self.n, self.m, self.right) != wanted:
            machine.fail(f"its sizes or its side do not fit {source!r}")
        machine.from_to(source, [(self.x, "its numbers"), (self.y, "its operand")], self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        x, y = window(spaces, self.x, (self.n,)), window(spaces, self.y, (self.m,))
        side = "right" if self.right else "left"
        window(spaces, self.z, (self.m,))[...] = find_op(_OP).forward(x, y, side=side)

    def text(self, place: Places) -> str:
        """search 5×3: z = searchsorted(x, y)."""
        x, y, z = place(self.x), place(self.y), place(self.z)
        return f"search {self.n}×{self.m}: {z} = searchsorted({x}, {y})"
