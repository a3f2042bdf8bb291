"""Run a program with NumPy, one rule after the other: the oracle of passes and executor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autodiff.array import Array
from autodiff.backend.reference import Reference
from autodiff.program.ir import Program, Value

__all__ = ["interpret"]


def interpret(program: Program, arguments: Sequence[Array]) -> list[Array]:
    """The results for these arguments; the program's states are written at the end."""
    run = Reference().forward
    held: dict[Value, Array] = dict(zip(program.arguments, arguments, strict=True))

    def read(value: Value) -> Array:
        if value.buffer is not None:
            return value.buffer
        return held[value]

    for instruction in program.instructions:
        inputs = [read(x) for x in instruction.inputs]
        held[instruction.output] = run(instruction.op, inputs)
    results = [np.array(read(v)) for v in program.results]
    written = [(state, np.array(read(v))) for state, v in program.writes]
    for state, array in written:
        assert state.buffer is not None
        state.buffer[...] = array
    return results
