"""Run a program with NumPy, one rule after the other: the oracle of passes and executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from autodiff.array import Array
from autodiff.backend.reference import Reference
from autodiff.op import BoundOp
from autodiff.program.ir import Instruction, Program, Value

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
        if instruction.plain:
            held[instruction.output] = run(instruction.op, inputs)
        else:
            outputs = run(_with_regions(instruction), inputs)
            several = instruction.op.op.several
            held.update(zip(instruction.outputs, outputs if several else (outputs,), strict=True))
    results = [np.array(read(v)) for v in program.results]
    written = [(state, np.array(read(v))) for state, v in program.writes]
    for state, array in written:
        assert state.buffer is not None
        state.buffer[...] = array
    return results


def _with_regions(instruction: Instruction) -> BoundOp:
    """The op with its regions as functions, as its forward rule takes them."""
    op = instruction.op
    if not instruction.regions:
        return op
    return BoundOp(op.op, {**op.attributes, "regions": tuple(map(_function, instruction.regions))})


def _function(region: Program) -> Callable[..., list[Array]]:
    return lambda *arguments: interpret(region, arguments)
