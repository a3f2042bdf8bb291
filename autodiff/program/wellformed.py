"""What every program in single-assignment form must keep, after every pass."""

from __future__ import annotations

import numpy as np

from autodiff.errors import AutodiffError, VerificationError
from autodiff.op import OPS
from autodiff.program.fused import FUSED
from autodiff.program.ir import Instruction, Program, Value

__all__ = ["verify_program"]


def verify_program(program: Program) -> None:
    """Check a program in single-assignment form.

    Raises
    ------
    VerificationError
        If a value is used before it is defined, or defined twice; has another shape than its
        op's rule says; if an op is unknown; if an argument, state or constant is not what
        it must be; if a tensor is written twice, or with a value of another shape; if a region
        sees more than its own arguments and constants, writes, or is no well-formed program.
    """
    defined: set[Value] = set()
    for x in program.arguments:
        if x.kind != "argument" or x.buffer is not None or x in defined:
            raise VerificationError(f"{x!r} is no argument, or twice")
        defined.add(x)
    for number, instruction in enumerate(program.instructions):
        where = f"instruction {number}, {instruction!r}"
        op, outputs = instruction.op, instruction.outputs
        if op.op is not (OPS.get(op.name) or FUSED.get(op.name)):
            raise VerificationError(f"{where}: there is no op {op.name!r}")
        if not op.op.variadic and len(instruction.inputs) != len(op.op.inputs):
            raise VerificationError(f"{where}: {op.name} takes {len(op.op.inputs)} operands")
        for x in instruction.inputs:
            if x not in defined and not _is_given(x):
                raise VerificationError(f"{where}: {x!r} is used before it is defined")
        if len(outputs) != len(op.op.outputs) or len(instruction.regions) != op.op.n_regions:
            raise VerificationError(f"{where}: {op.name} has not so many outputs or regions")
        _verify_regions(instruction, where)
        for position, output in enumerate(outputs):
            mine = output.producer is instruction and output.position == position
            if output in defined or not mine or output.kind != "computed":
                raise VerificationError(
                    f"{where}: {output!r} is defined twice, or is not its output"
                )
            defined.add(output)
        try:
            shape = instruction.promised()
        except (AutodiffError, IndexError, TypeError, ValueError) as error:
            raise VerificationError(f"{where}: {error}") from error
        if shape != instruction.shape:
            raise VerificationError(f"{where}: {outputs!r} must have shape {shape}")
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


def _verify_regions(instruction: Instruction, where: str) -> None:
    for number, region in enumerate(instruction.regions):
        what = f"{where}: region {number}"
        used = [x for i in region.instructions for x in i.inputs] + region.outputs
        if region.writes or any(x.kind == "state" for x in used):
            raise VerificationError(f"{what} must leave tensors alone")
        try:
            verify_program(region)
        except VerificationError as error:
            raise VerificationError(f"{what}: {error}") from error


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
