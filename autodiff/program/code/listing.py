"""Programs as text: one line an instruction, with the names of the nodes."""

from __future__ import annotations

import functools

from autodiff.program.code.flat import Code, Operand, region_code, regions_of
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
    for i, text in enumerate(instruction_lines(code)):
        first, *owned = text.split("\n")
        lines += [f"{i:5}  {first}", *[f"       {line}" for line in owned]]
    return "\n".join(lines)


def _kernel_calls(program: Program) -> int:
    return sum(not i.op.op.view for i in program.instructions)


def _bytes(program: Program) -> int:
    computed = [i.outputs for i in program.instructions if not i.op.op.view]
    return sum(8 * z.size for outputs in computed for z in outputs)


def instruction_lines(code: Code) -> list[str]:
    """One text for each instruction of the code; below it, the lines of the code that it owns."""
    place = functools.partial(_place, code)
    texts = []
    for instruction, label, meaning in zip(
        code.instructions, code.labels, code.meanings, strict=True
    ):
        lines = [f"{instruction.text(place)}{'  # ' + label if label else ''}"]
        for region, lowered in zip(regions_of(instruction), meaning.regions, strict=True):
            inner = region_code(region, lowered, code)
            results = [_place(inner, where) for where, _ in inner.results]
            owned = [*instruction_lines(inner), f"gives {', '.join(results)}"]
            lines += [f"    {line}" for text in owned for line in text.split("\n")]
        texts.append("\n".join(lines))
    return texts


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
