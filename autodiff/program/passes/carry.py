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
from autodiff.program.passes.arrange import arrange, emit_in
from autodiff.program.passes.legalise import legalise
from autodiff.program.passes.rewrite import Emitter

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
    program = program.copy()
    found = _candidates(program)
    if not found:
        return None
    order = arrange(program, list(found.values()))
    # Not where a weight is updated with what another one has become.
    together = {frozenset(members) for members in order}
    packs = {p: values for p, values in found.items() if frozenset(values) in together}
    if not packs:
        return None
    return _Carrier(program, packs).run(order)


def _candidates(program: Program) -> dict[Value, list[Value]]:
    """Packed weights, no weight twice, and the values that one op on all of them can compute."""
    updates = dict(program.writes)
    found: dict[Value, list[Value]] = {}
    taken: set[Value] = set()
    for instruction in program.instructions:
        pack = instruction.first
        # Weights and biases lie side by side by columns.
        if pack.op != "concat" or pack.attribute("axis") != 1:
            continue
        update = _common_update(pack.inputs, updates)
        if update is not None and taken.isdisjoint([*pack.inputs, *update]):
            found[pack] = update
            taken.update(pack.inputs, update)
    return found


class _Carrier:
    """Makes the three programs."""

    def __init__(self, program: Program, packs: dict[Value, list[Value]]) -> None:
        self.program = program
        self.packs = packs
        self.pack_of = {value: pack for pack, update in packs.items() for value in update}
        self.before, self.after = Program(), Program()
        self.new: dict[Value, Value] = {}
        self.wholes: list[tuple[Value, Value]] = []
        self.slices = Emitter()  # of what is carried, in place of the tensors
        for pack in packs:
            self._begin(pack)

    def _begin(self, pack: Value) -> None:
        packed = Value(pack.shape, "state", aligned_copy(np.zeros(pack.shape)), "packed")
        _fill(self.before, packed, pack.inputs, 1)
        self.new[pack] = packed
        start = 0
        for state in pack.inputs:
            stop = start + state.shape[1]
            self.new[state] = self.slices.at(pack).slice(packed, 1, start, stop)
            _take(self.after, state, packed, self.new[state].producer)
            start = stop

    def run(self, order: Sequence[Sequence[Value]]) -> Carried:
        """Emit the body in this order."""
        carried = set(self.new)
        program = emit_in(order, self.program, self.pack_of, self._build, self.new, self.slices)
        writes = [(state, value) for state, value in program.writes if state not in carried]
        body = Program(program.arguments, program.instructions, program.results,
                       [*writes, *self.wholes])  # fmt: skip
        return Carried(self.before, legalise(body.in_order()), self.after)

    def _build(
        self, e: Emitter, members: Sequence[Value], new: dict[Value, Value]
    ) -> Sequence[Value]:
        pack = self.pack_of[members[0]]
        update = self.packs[pack]
        e.at(update[0])
        whole = _packed_update(e, new[pack], pack.inputs, update, new)
        self.wholes.append((new[pack], whole))
        pieces: dict[Value, Value] = {}
        start = 0
        for value in update:
            stop = start + value.shape[1]
            pieces[value] = e.slice(whole, 1, start, stop)
            start = stop
        return [pieces[value] for value in members]


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
    e: Emitter,
    packed: Value,
    states: Sequence[Value],
    update: Sequence[Value],
    new: dict[Value, Value],
) -> Value:
    """One op that does to the packed states what `update` does to each."""
    first = update[0].producer
    assert first is not None
    operands = [packed]
    for column in list(zip(*[v.inputs for v in update], strict=True))[1:]:
        shared = all(x is column[0] for x in column) and column[0].shape != states[0].shape
        if first.op.name == PRODUCT_ADD.name:
            shared = column[0] is not first.inputs[2]
        now = [new.get(x, x) for x in column]
        operands.append(now[0] if shared else e.concat(now, 1))
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
