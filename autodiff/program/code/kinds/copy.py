"""Kind `copy`: elements moved from one window to another, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from autodiff.array import Array
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window

__all__ = ["Copy"]


@instruction_kind
class Copy(Kind):
    """z = x, up to four axes; z and x do not overlap. Faster than a map where there are rows.

    Maps become copies where they do nothing else (:mod:`autodiff.program.code.kinds.map`).
    """

    name: ClassVar[str] = "copy"

    shape: tuple[int, ...]
    x: Operand
    x_strides: tuple[int, ...]
    z: Operand
    z_strides: tuple[int, ...]

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Tags move as numbers do."""
        (source,) = meaning.sources
        if source is not None and not (source.op.op.moves and source.op.op.elementwise):
            machine.fail(f"it must be {source!r}")
        if 0 in self.shape:
            return
        machine.begin_write(self.z)
        x = machine.window(self.x, self.shape, self.x_strides)
        machine.write(self.z, self.z_strides, x.copy(), x)

    def emulate(self, spaces: Sequence[Array]) -> None:
        """Numbers move."""
        x = window(spaces, self.x, self.shape, self.x_strides)
        window(spaces, self.z, self.shape, self.z_strides)[...] = x

    def text(self, place: Places) -> str:
        """copy [2, 3]: z = x."""
        return f"copy {list(self.shape)}: {place(self.z)} = {place(self.x)}"
