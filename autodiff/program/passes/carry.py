"""Pass `carry`: packed weights stay packed from step to step of a scan.

A step begins with weights side by side in one matrix (pass `pack`) and ends by adding a product to
each of them. Over many steps the weights need not be taken apart and packed again:

    P = [w_1 w_2 ...],   P := P ± scale · x' [g_1 g_2 ...]

with P a buffer of the program's own. Before the first step it is filled, and after the last the
tensors are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autodiff.op import OPS
from autodiff.program.fused import PRODUCT_ADD
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.passes.legalise import legalise
from autodiff.program.passes.rewrite import CycleError, Emitter, substitute

__all__ = ["Carried", "carry"]


@dataclass
class Carried:
    """A program for scans: `before` fills what it carries, `after` empties it.

    Between the two the tensors that are carried hold old numbers.
    """

    before: Program
    body: Program
    after: Program


def carry(program: Program) -> Carried | None:
    """The program with packed weights carried from step to step; None if there are none."""
    updates = dict(program.writes)
    writes = dict(program.writes)
    before, after = Program(), Program()
    new: dict[Value, Value] = {}
    emitter = Emitter()
    for instruction in program.instructions:
        pack = instruction.output
        if pack.op != "concat" or any(x in new for x in pack.inputs):
            continue
        update = _common_update(pack.inputs, updates)
        axis, start = pack.attribute("axis"), 0
        if update is None or axis != 1:  # the products lie side by side along their columns
            continue
        packed = Value(pack.shape, "state", np.zeros(pack.shape), "packed")
        _fill(before, packed, pack.inputs, axis)
        emitter.at(update[0])
        rights = emitter.concat([v.inputs[2] for v in update], axis)
        _, x, _, scale = update[0].inputs
        assert update[0].producer is not None
        whole = emitter.emit(update[0].producer.op, [packed, x, rights, scale])
        writes[packed] = whole
        new[pack] = packed
        for state, value in zip(pack.inputs, update, strict=True):
            stop = start + state.shape[axis]
            new[value] = emitter.slice(whole, axis, start, stop)
            new[state] = emitter.at(pack).slice(packed, axis, start, stop)
            emitter.at(update[0])
            _take(after, state, packed, new[state].producer)
            start = stop
            del writes[state]
    if not before.writes:
        return None
    body = Program(program.arguments, program.instructions, program.results, list(writes.items()))
    try:
        body = substitute(body, new)
    except CycleError:  # one of the weights is updated with what another one has become
        return None
    return Carried(before, legalise(body), after)


def _common_update(states: Sequence[Value], updates: dict[Value, Value]) -> list[Value] | None:
    """The values that the states are assigned, if all are the same product but for its right."""
    values = [updates.get(state) for state in states if state.kind == "state"]
    if len(values) != len(states) or len(set(states)) != len(states):
        return None
    found: list[Value] = []
    for state, value in zip(states, values, strict=True):
        if value is None or value.op != PRODUCT_ADD.name or value.inputs[0] is not state:
            return None
        assert value.producer is not None
        found.append(value)
    like = {(v.inputs[1], v.inputs[3], v.attribute("sign")) for v in found}
    return found if len(like) == 1 else None


def _fill(program: Program, packed: Value, states: Sequence[Value], axis: int) -> None:
    pack = Instruction(OPS["concat"].bind(axis=axis), states)
    program.instructions.append(pack)
    program.writes.append((packed, pack.output))


def _take(program: Program, state: Value, packed: Value, part: Instruction | None) -> None:
    assert part is not None
    piece = Instruction(part.op, [packed])
    program.instructions.append(piece)
    program.writes.append((state, piece.output))
