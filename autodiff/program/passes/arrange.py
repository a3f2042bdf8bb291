"""Which values may be computed together, so that nothing waits for itself.

A pass that makes one instruction of several (a *group*) lets each of them wait for whatever any
of them reads. Then groups may wait in a circle: the gradient of the second update of a step waits
for the first update, that for the first gradient, and this one for the second, with which it
would be one product.

So the program is played through first, as if the groups were instructions: what has its operands
is done, and members of a group wait for each other. When nothing can go on, members that are ready
go without the others. That gives an order of all values; emitted in this order, a program has no
circles, whatever the emitter makes of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping, Sequence

from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.passes.rewrite import Emitter, renamed

__all__ = ["Build", "Reads", "arrange", "emit_in", "regroup"]

Reads = Mapping[Value, Sequence[Value]]
Build = Callable[[Emitter, Sequence[Value], dict[Value, Value]], "Sequence[Value] | None"]


class _Group:
    """Members that have not been done; those of them that are ready wait for the others."""

    __slots__ = ("circular", "left", "phase", "ready")

    def __init__(self, phase: int) -> None:
        self.left = 0
        self.ready: list[int] = []
        self.circular = False  # whether one member depends on another
        self.phase = phase


def arrange(
    program: Program,
    groups: Sequence[Sequence[Value]],
    reads: Reads | None = None,
    phases: Sequence[int] = (),
) -> list[list[Value]]:
    """All that the outputs need, in an order in which it can be computed, groups together.

    An entry is one value (of several outputs the first), or several of a group. Groups that lie in
    no circle come whole, those that do come in parts: those whose members depend on each other
    first, then small ones.

    Parameters
    ----------
    groups : values to compute together; no value is in two.
    reads : what the members will be computed from, where that is not their inputs.
    phases : a number for each group; greater ones go when nothing else can go on.
    """
    return _Play(program, groups, reads or {}, phases or [0] * len(groups)).run()


class _Play:
    """Instructions and values by number, in the order of the program."""

    def __init__(
        self,
        program: Program,
        groups: Sequence[Sequence[Value]],
        reads: Reads,
        phases: Sequence[int],
    ) -> None:
        self.instructions = _needed(program, reads)
        number: dict[Value, int] = {}
        for n, instruction in enumerate(self.instructions):
            if instruction.plain:
                number[instruction.output] = n
            else:
                number.update(dict.fromkeys(instruction.outputs, n))
        self.readers: list[list[int]] = [[] for _ in self.instructions]
        self.waiting = [0] * len(self.instructions)
        for n, instruction in enumerate(self.instructions):
            for x in reads.get(instruction.first) or instruction.inputs:
                if x in number:
                    self.readers[number[x]].append(n)
                    self.waiting[n] += 1
        self.group_of: dict[int, _Group] = {}
        for members, phase in zip(groups, phases, strict=True):
            group = _Group(phase)
            for member in members:
                if member in number:
                    self.group_of[number[member]] = group
                    group.left += 1
        self._find_circular()
        self.complete: list[tuple[int, list[int]]] = []  # a heap of groups by phase
        self.partial: list[tuple[int, int, _Group]] = []  # a heap of who must go first
        self.done: list[list[int]] = []

    def _find_circular(self) -> None:
        """Mark groups of which a member depends on another."""
        large = dict.fromkeys(g for g in self.group_of.values() if g.left > 1)
        if not large:
            return
        bit_of = {group: 1 << n for n, group in enumerate(large)}
        below = [0] * len(self.instructions)  # a bit for each group that it depends on
        for n, readers in enumerate(self.readers):
            bits = below[n]
            group = self.group_of.get(n)
            if group in large:
                group.circular |= bool(bits & bit_of[group])
                bits |= bit_of[group]
            if bits:
                for reader in readers:
                    below[reader] |= bits

    def run(self) -> list[list[Value]]:
        """Play, and say in which order everything was done."""
        waiting, group_of = self.waiting, self.group_of
        for n, readers in enumerate(self.readers):
            if waiting[n] > 0:
                continue
            if n in group_of:
                self._go_on([n], n)
            else:  # the usual case; all its readers are still to come
                self.done.append([n])
                for reader in readers:
                    waiting[reader] -= 1
        last = len(self.instructions)
        while self.complete or self.partial:
            if self.complete:
                members = heapq.heappop(self.complete)[1]
            else:  # whoever is ready, if the group is not done by now
                members = self._taken(heapq.heappop(self.partial)[2])
            self._go_on(self._done(members, last) if members else [], last)
        return [[self.instructions[n].first for n in members] for members in self.done]

    def _go_on(self, ready: list[int], last: int) -> None:
        """Do what is ready, and what that makes ready, of the instructions up to the last one."""
        while ready:
            n = ready.pop()
            group = self.group_of.get(n)
            if group is None:
                ready += self._done([n], last)
                continue
            group.ready.append(n)
            if len(group.ready) == group.left:
                members = self._taken(group)
                if group.phase == 0:
                    ready += self._done(members, last)
                else:
                    heapq.heappush(self.complete, (group.phase, members))
            elif len(group.ready) == 1:
                # Members that depend on each other cannot wait; of others, many are worth more.
                size = 0 if group.circular else group.left
                heapq.heappush(self.partial, (size, n, group))

    def _taken(self, group: _Group) -> list[int]:
        """The members that are ready, out of the group."""
        members, group.ready = group.ready, []
        group.left -= len(members)
        return sorted(members)

    def _done(self, members: list[int], last: int) -> list[int]:
        """Note that members are done; returns the readers that have waited for nothing else."""
        self.done.append(members)
        waiting, released = self.waiting, []
        for n in members:
            for reader in self.readers[n]:
                waiting[reader] -= 1
                if waiting[reader] == 0 and reader <= last:  # others will be looked at
                    released.append(reader)
        return released


def _needed(program: Program, reads: Reads) -> list[Instruction]:
    needed = set(program.outputs)
    instructions = []
    for instruction in reversed(program.instructions):
        first = instruction.first
        if first in needed if instruction.plain else not needed.isdisjoint(instruction.outputs):
            needed.update(reads.get(first) or instruction.inputs)
            instructions.append(instruction)
    return instructions[::-1]


def regroup(
    program: Program,
    groups: Sequence[Sequence[Value]],
    build: Build,
    reads: Reads | None = None,
    phases: Sequence[int] = (),
) -> Program:
    """The program with groups computed by what `build` emits.

    build : given the emitter, members that may be computed together, and what takes the place of
        each value so far; returns what takes the places of the members, None to leave them.
    reads, phases : see :func:`arrange`.
    """
    if not groups:
        return program
    grouped = {member for members in groups for member in members}
    return emit_in(arrange(program, groups, reads, phases), program, grouped, build, {})


def emit_in(
    order: Sequence[Sequence[Value]],
    program: Program,
    grouped: Collection[Value],
    build: Build,
    new: dict[Value, Value],
    emitter: Emitter | None = None,
) -> Program:
    """The program emitted anew in an order that :func:`arrange` gives; see :func:`regroup`.

    grouped : values for which `build` is called.
    new : what takes the place of some values, if that is known beforehand.
    emitter : what has emitted those.
    """
    emitter = emitter or Emitter()
    replaced = new.keys()
    for members in order:
        value = members[0]
        if value in new:
            continue
        if value in grouped and (built := build(emitter, members, new)) is not None:
            for old_value, value in zip(members, built, strict=True):
                value.label = value.label or old_value.label
                if value is not old_value:
                    new[old_value] = value
            continue
        for value in members:
            old = value.producer
            assert old is not None
            inputs = old.inputs
            if not replaced.isdisjoint(inputs):
                inputs = renamed(inputs, new)
            emitter.rank = old.rank
            if old.plain:
                kept = emitter.keep(old, inputs)
                if kept is not value:
                    new[value] = kept
            else:
                new.update(emitter.keep_all(old, inputs))
    return program.replaced(emitter.instructions, new).in_order()
