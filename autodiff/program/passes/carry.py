"""Pass `carry`: packed weights stay packed from step to step of a scan.

A step begins with weights side by side in one matrix (pass `pack`) and ends by adding a product to
each of them. Over many steps the weights need not be taken apart and packed again:

    P = [w_1 w_2 ...],   P := P ± scale · x' [g_1 g_2 ...]

(and likewise biases, to which something of their shape is added),

with P a buffer of the program's own. Before the first step it is filled, and after the last the
tensors are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autodiff.array import aligned_copy
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
        if update is None or axis != 1:  # weights and biases lie side by side by columns
            continue
        packed = Value(pack.shape, "state", aligned_copy(np.zeros(pack.shape)), "packed")
        _fill(before, packed, pack.inputs, axis)
        emitter.at(update[0])
        whole = _packed_update(emitter, packed, pack.inputs, update)
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
    """The values that the states are assigned, if one op on all of them can compute them.

    That is a product added to each, the same but for its right operand, or an elementwise op
    whose other operands are shared numbers or of the states' shape.
    """
    found = [updates[state] for state in states if state.kind == "state" and state in updates]
    if len(found) != len(states) or len(set(states)) != len(states):
        return None
    first = found[0].producer
    if first is None or not (first.op.op.elementwise or first.op.name == PRODUCT_ADD.name):
        return None
    for state, value in zip(states, found, strict=True):
        if value.producer is None or value.producer.op.key() != first.op.key():
            return None
        if value.inputs[0] is not state or state in value.inputs[1:]:
            return None
        for position, (x, like) in enumerate(zip(value.inputs, first.inputs, strict=True)):
            apart = position == 2 if first.op.name == PRODUCT_ADD.name else x.shape == state.shape
            if position > 0 and x is not like and not apart:
                return None
    return found


def _packed_update(
    e: Emitter, packed: Value, states: Sequence[Value], update: Sequence[Value]
) -> Value:
    """One op that does to the packed states what `update` does to each."""
    first = update[0].producer
    assert first is not None
    operands = [packed]
    for column in list(zip(*[v.inputs for v in update], strict=True))[1:]:
        shared = all(x is column[0] for x in column) and column[0].shape != states[0].shape
        if first.op.name == PRODUCT_ADD.name:
            shared = column[0] is not first.inputs[2]
        operands.append(column[0] if shared else e.concat(column, 1))
    return e.emit(first.op, operands)


def _fill(program: Program, packed: Value, states: Sequence[Value], axis: int) -> None:
    pack = Instruction(OPS["concat"].bind(axis=axis), states)
    program.instructions.append(pack)
    program.writes.append((packed, pack.output))


def _take(program: Program, state: Value, packed: Value, part: Instruction | None) -> None:
    assert part is not None
    piece = Instruction(part.op, [packed])
    program.instructions.append(piece)
    program.writes.append((state, piece.output))
