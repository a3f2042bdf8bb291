"""What every program in single-assignment form must keep, after every pass."""

from __future__ import annotations

import numpy as np

from autodiff.errors import AutodiffError, VerificationError
from autodiff.op import OPS
from autodiff.program.fused import FUSED
from autodiff.program.ir import Program, Value

__all__ = ["verify_program"]


def verify_program(program: Program) -> None:
    """Check a program in single-assignment form.

    Raises
    ------
    VerificationError
        If a value is used before it is defined, or defined twice; has another shape than its
        op's rule says; if an op is unknown; if an argument, state or constant is not what
        it must be; if a tensor is written twice, or with a value of another shape.
    """
    defined: set[Value] = set()
    for x in program.arguments:
        if x.kind != "argument" or x.buffer is not None or x in defined:
            raise VerificationError(f"{x!r} is no argument, or twice")
        defined.add(x)
    for number, instruction in enumerate(program.instructions):
        where = f"instruction {number}, {instruction!r}"
        op, output = instruction.op, instruction.output
        if op.op is not (OPS.get(op.name) or FUSED.get(op.name)):
            raise VerificationError(f"{where}: there is no op {op.name!r}")
        if not op.op.variadic and len(instruction.inputs) != len(op.op.inputs):
            raise VerificationError(f"{where}: {op.name} takes {len(op.op.inputs)} operands")
        for x in instruction.inputs:
            if x not in defined and not _is_given(x):
                raise VerificationError(f"{where}: {x!r} is used before it is defined")
        if output in defined or output.producer is not instruction or output.kind != "computed":
            raise VerificationError(f"{where}: {output!r} is defined twice, or is not its output")
        try:
            shape = op.shape(*[x.shape for x in instruction.inputs])
        except (AutodiffError, IndexError, TypeError, ValueError) as error:
            raise VerificationError(f"{where}: {error}") from error
        if shape != output.shape:
            raise VerificationError(f"{where}: {output!r} must have shape {shape}")
        defined.add(output)
    for x in program.outputs:
        if x not in defined and not _is_given(x):
            raise VerificationError(f"the output {x!r} is never defined")
    written: set[int] = set()
    for state, value in program.writes:
        if state.kind != "state" or state.buffer is None or not state.buffer.flags.writeable:
            raise VerificationError(f"{state!r} cannot be written")
        if state.shape != value.shape or id(state.buffer) in written:
            raise VerificationError(f"{state!r} is assigned twice, or {value!r} does not fit")
        written.add(id(state.buffer))


def _is_given(x: Value) -> bool:
    """Whether a value is a well-formed constant or state: an array of its own."""
    return (
        x.kind in ("constant", "state")
        and x.producer is None
        and isinstance(x.buffer, np.ndarray)
        and x.buffer.shape == x.shape
        and x.buffer.dtype == np.float64
        and x.buffer.flags.c_contiguous
    )
