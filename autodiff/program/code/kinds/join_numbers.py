"""Kind `join_numbers`: positions in two axes as positions in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.errors import AutodiffError, IndexRangeError
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction

__all__ = ["JoinNumbers"]

_OP = "_join_numbers"


@instruction_kind
class JoinNumbers(Kind):
    """z[i] = x[i] n_second + y[i] for i < n; x, y below 0 count from the end of their axis."""

    name: ClassVar[str] = "join_numbers"
    ops: ClassVar[tuple[str, ...]] = (_OP,)
    can_fail: ClassVar[bool] = True

    n: int
    n_first: int
    n_second: int
    x: Operand
    y: Operand
    z: Operand

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """One row of numbers, and another, to a third."""
        (instruction,) = members
        attributes = instruction.op.attributes
        sizes = instruction.output.size, attributes["n_first"], attributes["n_second"]
        x, y = map(lowering.place, instruction.inputs)
        lowering.emit_one(cls(*sizes, x, y, lowering.place(instruction.output)), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those of the axes."""
        source = machine.source(meaning.sources, _OP)
        attributes = source.op.attributes
        wanted = source.output.size, attributes["n_first"], attributes["n_second"]
        if (self.n, self.n_first, self.n_second) != wanted:
            machine.fail(f"its sizes do not fit {source!r}")
        operands = [(self.x, "its first operand"), (self.y, "its second operand")]
        machine.from_to(source, operands, self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        x, y, z = (window(spaces, place, (self.n,)) for place in (self.x, self.y, self.z))
        z[...] = find_op(_OP).forward(x, y, n_first=self.n_first, n_second=self.n_second)

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """A number that is none of its axis: the number, and the size."""
        return IndexRangeError(f"{numbers[0]:g} is no number of an axis of size {numbers[1]:g}")

    def text(self, place: Places) -> str:
        """join_numbers 5: z = x * 3 + y."""
        x, y, z = place(self.x), place(self.y), place(self.z)
        return f"join_numbers {self.n}: {z} = {x} * {self.n_second} + {y}"
