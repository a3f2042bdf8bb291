"""What kinds need to become instructions: operands, and where the instructions are put."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from autodiff.array import Array, Shape
from autodiff.program.code.flat import Code, FlatInstruction, Meaning, Operand
from autodiff.program.ir import Instruction, Value
from autodiff.program.opaque import Function
from autodiff.program.plan.layout import Layout, Storage

__all__ = ["Lowering"]


class Lowering:
    """The code as it grows.

    layouts : of all values of the placed program. kept : values that need memory; others live
    in registers. origins : of values that show another one, element by element in the same
    order, that one.
    """

    def __init__(
        self,
        arguments: list[Shape],
        layouts: dict[Value, Layout],
        kept: Collection[Value],
        origins: dict[Value, Value],
    ) -> None:
        self.code = Code(arguments=arguments)
        self.code.buffers.append(np.zeros(0))  # the scalars' place; filled at the end
        self.layouts = layouts
        self.kept = kept
        self.origins = origins
        self._scalar_space = 1 + len(arguments)
        self._spaces: dict[int, int] = {}  # id of a buffer: its space
        self._scalars: dict[bytes, Operand] = {}
        self._functions: dict[Any, int] = {}

    # ---- operands ---------------------------------------------------------------------

    def operand(self, layout: Layout) -> Operand:
        """Where a layout begins."""
        storage = layout.storage
        if storage.argument >= 0:
            space = 1 + storage.argument
        else:
            space = 0 if storage.buffer is None else self._space(storage, storage.buffer)
        if 0 in layout.shape:  # where a slice begins may lie beyond what has no elements
            return Operand(space, 0)
        return Operand(space, storage.offset + layout.offset)

    def place(self, value: Value) -> Operand:
        """Where a value begins."""
        return self.operand(self.layouts[value])

    def _space(self, storage: Storage, buffer: Array) -> int:
        space = self._spaces.get(id(buffer))
        if space is None:
            buffers = self.code.buffers
            self._spaces[id(buffer)] = space = self._scalar_space + len(buffers)
            if storage.label:
                self.code.names[len(buffers)] = storage.label
            buffers.append(buffer)
        return space

    def scalar(self, number: float) -> Operand:
        """Where a scalar constant lies."""
        bits = np.float64(number).tobytes()
        place = self._scalars.get(bits)
        if place is None:
            place = self._scalars[bits] = Operand(self._scalar_space, len(self._scalars))
        return place

    def function(self, function: Function) -> int:
        """The number of a function that the code calls."""
        key = function.bound.key(), function.shape
        if key not in self._functions:
            self._functions[key] = len(self.code.functions)
            self.code.functions.append(function)
        return self._functions[key]

    # ---- instructions -----------------------------------------------------------------

    def emit(
        self,
        instruction: FlatInstruction,
        label: str,
        sources: Sequence[Instruction | None],
        start: int = 0,
    ) -> None:
        """Append an instruction, what it is called, and what it is meant to do."""
        code = self.code
        code.instructions.append(instruction)
        code.labels.append(label)
        code.meanings.append(Meaning(sources, start))

    def emit_one(self, instruction: FlatInstruction, source: Instruction) -> None:
        """Append the instruction that carries out one instruction of the placed program."""
        self.emit(instruction, source.output.label, [source.source])

    def finish(self) -> Code:
        """The code, with the scalars that it has asked for."""
        scalars = b"".join(self._scalars) or bytes(8)
        self.code.buffers[0] = np.frombuffer(scalars, dtype=np.float64)
        return self.code
