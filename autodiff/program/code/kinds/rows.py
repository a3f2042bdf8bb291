"""Kind `rows`: the softmax family, along rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from autodiff.array import Array
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Emitter, Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction, Value

__all__ = ["Rows"]


@instruction_kind
class Rows(Kind):
    """Each of `n_rows` rows of `n` numbers to a row of as many, or (logsumexp) to one number."""

    name: ClassVar[str] = "rows"
    ops: ClassVar[tuple[str, ...]] = ("logsumexp", "softmax", "log_softmax")

    op: str
    n_rows: int
    n: int
    x: Operand
    z: Operand

    @classmethod
    def legal(cls, e: Emitter, old: Instruction, inputs: Sequence[Value]) -> Value | None:
        """Kernels go along the last axes; others are moved there, and back."""
        (x,) = inputs
        axis, n = old.op.attributes["axis"], len(x.shape)
        last = tuple(range(n - len(axis), n))
        if axis == last:
            return None
        order = (*(a for a in range(n) if a not in axis), *axis)
        moved = e.apply("transpose", x, axes=order)
        if "keepdims" in old.op.attributes:  # one number a row
            total = e.apply(old.op.name, moved, axis=last, keepdims=False)
            return e.reshape(total, old.output.shape)
        z = e.apply(old.op.name, moved, axis=last)
        return e.apply("transpose", z, axes=tuple(order.index(a) for a in range(n)))

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Along the last axes."""
        (instruction,) = members
        (x,) = instruction.inputs
        n = math.prod(x.shape[a] for a in instruction.op.attributes["axis"])
        n_rows = x.size // max(n, 1)
        places = lowering.place(x), lowering.place(instruction.output)
        lowering.emit_one(cls(instruction.op.name, n_rows, n, *places), instruction)

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its rows must be the last axes."""
        source = machine.source(meaning.sources, self.op)
        (value,) = source.inputs
        axes = source.op.attributes["axis"]
        size = math.prod(value.shape[i] for i in axes)
        last = tuple(range(len(value.shape) - len(axes), len(value.shape)))
        if axes != last or self.n != size or self.n_rows * self.n != value.size:
            machine.fail(f"{self.n_rows} rows of {self.n} are not {source!r}")
        machine.from_to(source, [(self.x, "its operand")], self.z)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """The op's rule."""
        op = find_op(self.op)
        options = {"keepdims": False} if "keepdims" in op.attributes else {}
        value = op.forward(window(spaces, self.x, (self.n_rows, self.n)), axis=(1,), **options)
        window(spaces, self.z, np.shape(value))[...] = value

    def text(self, place: Places) -> str:
        """softmax 3×4: z = softmax(x)."""
        return f"{self.op} {self.n_rows}×{self.n}: {place(self.z)} = {self.op}({place(self.x)})"

    def title(self) -> str:
        """Which op it is."""
        return self.op
