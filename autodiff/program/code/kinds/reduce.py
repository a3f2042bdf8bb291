"""Kind `reduce`: sums, products and maxima over neighbouring axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.program.code.along import around
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Emitter, Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction, Value

__all__ = ["Reduce"]


@instruction_kind
class Reduce(Kind):
    """x[outer, reduced, inner] to z[outer, inner]. op : "sum", "prod" or "max"."""

    name: ClassVar[str] = "reduce"
    ops: ClassVar[tuple[str, ...]] = ("sum", "prod", "max")
    composed: ClassVar[tuple[str, ...]] = ("mean",)

    op: str
    outer: int
    reduced: int
    inner: int
    x: Operand
    z: Operand

    @classmethod
    def legal(cls, e: Emitter, old: Instruction, inputs: Sequence[Value]) -> Value | None:
        """Kernels reduce neighbouring axes; a mean is a sum, divided."""
        (x,) = inputs
        axis = old.op.attributes["axis"]
        if old.op.name in cls.ops:
            return _by_groups(e, old.op.name, axis, x, old.output.shape)
        total = e.apply("sum", x, **old.op.attributes)
        grouped = _by_groups(e, "sum", axis, x, total.shape) or total
        return e.apply("divide", grouped, e.constant(x.size / max(total.size, 1)))

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Over axes that are neighbours."""
        (instruction,) = members
        (x,) = instruction.inputs
        sizes = around(x.shape, instruction.op.attributes["axis"])
        assert sizes is not None
        places = lowering.place(x), lowering.place(instruction.output)
        lowering.emit_one(cls(instruction.op.name, *sizes, *places), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its sizes must be those around the axes."""
        source = machine.source(meaning.sources, self.op)
        (value,) = source.inputs
        wanted = around(value.shape, source.op.attributes["axis"])
        if wanted is None:
            machine.fail(f"{source!r} is over axes that are not neighbours")
        sizes = self.outer, self.reduced, self.inner
        if sizes != wanted:
            machine.fail(f"its sizes are {sizes}, they must be {tuple(wanted)}")
        machine.from_to(source, [(self.x, "its operand")], self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        x = window(spaces, self.x, (self.outer, self.reduced, self.inner))
        value = find_op(self.op).forward(x, axis=(1,), keepdims=False)
        window(spaces, self.z, (self.outer, self.inner))[...] = value

    def text(self, place: Places) -> str:
        """sum 1×4×1: z = sum(x)."""
        sizes = f"{self.outer}×{self.reduced}×{self.inner}"
        return f"{self.op} {sizes}: {place(self.z)} = {self.op}({place(self.x)})"

    def title(self) -> str:
        """Which reduction it is."""
        return self.op


def _by_groups(
    e: Emitter, name: str, axis: tuple[int, ...], x: Value, shape: tuple[int, ...]
) -> Value | None:
    """One reduction for each group of neighbouring axes, the last group first."""
    groups: list[list[int]] = []
    for a in axis:
        if groups and all(x.shape[i] == 1 for i in range(groups[-1][-1] + 1, a)):
            groups[-1].extend(range(groups[-1][-1] + 1, a + 1))
        else:
            groups.append([a])
    if len(groups) <= 1 and (not groups or tuple(groups[0]) == axis):
        return None
    for group in reversed(groups):
        x = e.apply(name, x, axis=tuple(group), keepdims=True)
    return e.reshape(x, shape)
