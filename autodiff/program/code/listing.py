"""Programs as text: one line an instruction, with the names of the nodes."""

from __future__ import annotations

import functools

from autodiff.program.code.flat import Code, Operand
from autodiff.program.ir import Program
from autodiff.program.recording import Recording

__all__ = ["instruction_lines", "listing"]


def listing(recording: Recording) -> str:
    """The code of a recording, and how much shorter than what was recorded it is."""
    code = recording.code
    before, after = recording.recorded, recording.improved
    lines = [
        f"recorded   {_kernel_calls(before):6} kernel calls, {_bytes(before):11,} bytes of values",
        f"improved   {_kernel_calls(after):6} kernel calls, {_bytes(after):11,} bytes of values",
        f"code       {len(code.instructions):6} instructions, "
        f"{8 * code.arena_size:11,} bytes of arena",
        "",
    ]
    lines += [f"{i:5}  {line}" for i, line in enumerate(instruction_lines(code))]
    return "\n".join(lines)


def _kernel_calls(program: Program) -> int:
    return sum(not i.op.op.view for i in program.instructions)


def _bytes(program: Program) -> int:
    return sum(8 * i.output.size for i in program.instructions if not i.op.op.view)


def instruction_lines(code: Code) -> list[str]:
    """One line for each instruction of the code."""
    place = functools.partial(_place, code)
    return [
        f"{instruction.text(place)}{'  # ' + label if label else ''}"
        for instruction, label in zip(code.instructions, code.labels, strict=True)
    ]


def _place(code: Code, operand: Operand) -> str:
    space, offset = operand
    if space == 0:
        return f"@{offset}"
    if space <= len(code.arguments):
        return f"argument{space - 1}[{offset}]"
    number = space - 1 - len(code.arguments)
    if number == 0:
        return f"{code.buffers[0][offset]:g}"
    name = code.names.get(number, f"constant{number}")
    return f"{name}[{offset}]" if offset else name
