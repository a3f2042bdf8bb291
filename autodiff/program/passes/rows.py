"""Pass `rows`: the same elementwise op on all row slices of one value, done at once.

What an unrolled network does at every step to the outputs that `batch` has made one value
(add the bias, apply the activation, subtract the target, square ...) is one op on the
whole. Operands must be, in all steps, the slices of one value, or one and the same
value that broadcasts over rows, or values that are known before the program begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.passes.rewrite import Emitter, slice_of, substitute

__all__ = ["rows"]


@dataclass
class _Group:
    """Instructions alike but for the rows they work on; `whole` once they are one."""

    operands: tuple[Any, ...]  # per operand: a value, or a group, or None for loose values
    members: list[tuple[int, int, Instruction]] = field(default_factory=list)
    whole: Value | None = None


def rows(program: Program) -> Program:
    """One instruction for each complete group of row slices."""
    groups: dict[Any, _Group] = {}
    place: dict[Value, tuple[_Group, int, int]] = {}  # which rows of which group a value is
    for instruction in program.instructions:
        if instruction.op.op.elementwise and len(instruction.output.shape) >= 1:
            _place(instruction, groups, place)
    emitter = Emitter()
    new: dict[Value, Value] = {}
    for group in groups.values():
        _merge(emitter, group, new)
    return substitute(program, new)


def _place(
    instruction: Instruction,
    groups: dict[Any, _Group],
    place: dict[Value, tuple[_Group, int, int]],
) -> None:
    shape = instruction.output.shape
    span: tuple[int, int] | None = None
    operands: list[Any] = []
    for x in instruction.inputs:
        sliced = x.shape == shape
        cut = slice_of(x) if sliced else None
        if sliced and x in place:
            source, start, stop = place[x]
        elif cut is not None and cut.axis == 0:
            source, start, stop = cut.source, cut.start, cut.stop  # type: ignore[assignment]
        elif sliced:
            operands.append(None)
            continue
        elif len(x.shape) < len(shape) or x.shape[0] == 1:
            operands.append(x)
            continue
        else:
            return
        if span is not None and span != (start, stop):
            return
        span = start, stop
        operands.append(source)
    if span is None:
        return
    key = (instruction.op.key(), shape[1:], *(id(o) for o in operands))
    group = groups.setdefault(key, _Group(tuple(operands)))
    group.members.append((*span, instruction))
    place[instruction.output] = group, *span


def _merge(e: Emitter, group: _Group, new: dict[Value, Value]) -> None:
    """Make the group one instruction, if its members are all rows of its operands."""
    members = sorted(group.members, key=lambda m: m[0])
    sources = [o.whole if isinstance(o, _Group) else o for o in group.operands]
    here = 0
    for start, stop, _ in members:
        if start != here:
            return
        here = stop
    if len(members) < 2:
        return
    first = members[0][2]
    e.at(min((m for _, _, m in members), key=lambda m: m.rank).output)
    wholes: list[Value] = []
    for position, (operand, source) in enumerate(zip(group.operands, sources, strict=True)):
        if operand is None:
            source = _joined(e, [m.inputs[position] for _, _, m in members])
        if source is None:
            return
        wholes.append(source)
    shape = (here, *first.output.shape[1:])
    if any(len(w.shape) == len(shape) and w.shape[0] not in (1, here) for w in wholes):
        return
    if first.op.shape(*[w.shape for w in wholes]) != shape:
        return
    group.whole = e.emit(first.op, wholes)
    for start, stop, member in members:
        new[member.output] = e.slice(group.whole, 0, start, stop)


def _joined(e: Emitter, loose: list[Value]) -> Value | None:
    """Operands that are no slices as one: the same for all rows, or known beforehand."""
    if loose[0].shape[0] == 1 and all(x is loose[0] for x in loose):
        return loose[0]
    if all(x.kind != "computed" for x in loose):
        return e.concat(loose, 0)
    return None
