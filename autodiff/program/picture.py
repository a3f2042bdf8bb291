"""A recorded program as a picture: DOT text, one box an instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from autodiff.program.ir import Value
from autodiff.program.recording import Recording

__all__ = ["program_dot"]

_HEAD = """\
digraph program {
  graph [fontname="Helvetica", fontsize=11, rankdir=TB, ranksep=0.3, nodesep=0.25];
  node [fontname="Helvetica", fontsize=11, shape=box, style="rounded,filled", color="#555555",
    margin="0.1,0.04", height=0.3];
  edge [fontname="Helvetica", fontsize=9, color="#555555", arrowsize=0.6];
"""
_GIVEN = "#eeeeee"


def program_dot(recording: Recording) -> str:
    """Instructions as boxes (products blue), what the program is given as ellipses.

    An arrow says that an instruction reads what another, or the caller, has computed; thick
    arrows lead to tensors that the program writes.
    """
    code = recording.code
    made_by: dict[Value, int] = {}
    for number, meaning in enumerate(code.meanings):
        for source in meaning.sources:
            if source is not None:
                made_by.update(dict.fromkeys(source.outputs, number))
    lines = [_HEAD]
    given: dict[Value, str] = {}
    arrows: Counter[tuple[str, str]] = Counter()
    for number, (instruction, meaning) in enumerate(
        zip(code.instructions, code.meanings, strict=True)
    ):
        label = _quoted(instruction.title(), code.labels[number])
        lines.append(f'  i{number} [label={label}, fillcolor="{instruction.colour}"];\n')
        for source in meaning.sources:
            for x in _origins(source.inputs if source is not None else ()):
                if x in made_by:
                    if made_by[x] != number:
                        arrows[f"i{made_by[x]}", f"i{number}"] += 1
                elif x.size > 1 or x.kind != "constant":
                    name = given.setdefault(x, f"g{len(given)}")
                    arrows[name, f"i{number}"] += 1
    for x, name in given.items():
        label = _quoted(x.label or x.kind, str(x.shape))
        lines.append(f'  {name} [label={label}, shape=ellipse, fillcolor="{_GIVEN}"];\n')
    for state, value in recording.improved.writes:
        for x in _origins([value]):
            if x in made_by and state in given:
                lines.append(
                    f"  i{made_by[x]} -> {given[state]} [penwidth=1.6, constraint=false];\n"
                )
    lines += [f"  {a} -> {b};\n" for a, b in arrows]
    return "".join(lines) + "}\n"


def _origins(values: Any) -> Iterator[Value]:
    """The values behind views: what was computed, or given."""
    stack = list(values)
    while stack:
        x = stack.pop()
        if x.producer is not None and x.producer.op.op.view:
            stack.extend(x.inputs)
        else:
            yield x


def _quoted(*lines: str) -> str:
    shown = [line if len(line) <= 60 else line[:57] + "..." for line in lines if line]
    text = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in shown)
    return f'"{text}"'
