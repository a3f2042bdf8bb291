"""Programs as text: one line an instruction, with the names of the nodes."""

from __future__ import annotations

from typing import Any

from autodiff.program.code.lower import Code
from autodiff.program.ir import VIEWS, Program
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
    return sum(i.op.name not in VIEWS for i in program.instructions)


def _bytes(program: Program) -> int:
    return sum(8 * i.output.size for i in program.instructions if i.op.name not in VIEWS)


def instruction_lines(code: Code) -> list[str]:
    """One line for each instruction of the code."""
    return [
        f"{_text(instruction, code)}{'  # ' + label if label else ''}"
        for instruction, label in zip(code.instructions, code.labels, strict=True)
    ]


def _text(instruction: tuple[Any, ...], code: Code) -> str:
    name, *p = instruction
    if name == "run":
        shape, operands, micro = p
        places = [_place(operand[0], code) for operand in operands]
        parts = [
            f"{_ref(z, places)} = {op}({', '.join(_ref(x, places) for x in xs if x is not None)})"
            for op, *xs, z in micro
        ]
        return f"run {list(shape)}: {'; '.join(parts)}"
    if name == "copy":
        shape, x, _, z, _ = p
        return f"copy {list(shape)}: {_place(z, code)} = {_place(x, code)}"
    if name == "gemm":
        ta, tb, m, n, k, (alpha, scale), a, _, b, _, beta, c, _, stack, *_ = p
        product = f"{_place(a, code)}{chr(39) * ta} · {_place(b, code)}{chr(39) * tb}"
        factor = "" if alpha == 1.0 else f"{alpha:g} "
        factor += "" if scale is None else f"{_place(scale, code)} "
        times = f"{list(stack)} × " if stack else ""
        sign = "+=" if beta == 1.0 else "="
        return f"gemm {times}[{m}×{k}]·[{k}×{n}]: {_place(c, code)} {sign} {factor}{product}"
    numbers = [str(x) for x in p if not isinstance(x, tuple)]
    *inputs, output = [_place(x, code) for x in p if isinstance(x, tuple)]
    return f"{name} {'×'.join(numbers)}: {output} = {name}({', '.join(inputs)})"


def _ref(number: int, places: list[str]) -> str:
    return places[number] if number >= 0 else f"r{~number}"


def _place(operand: tuple[int, int], code: Code) -> str:
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
