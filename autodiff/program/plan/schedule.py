"""The order of execution: maps of elementwise ops, and single ops between them.

A *map* computes many elementwise ops of one shape in one pass over the data, block by
block, so that what only the map needs never leaves the cache. The scheduler keeps to the
order of the program, but when it meets an elementwise op it takes along all others of
its shape that can be computed now and come before the next op of another kind. (To take
also what comes after that would make long maps, but keep more values alive: slopes would be
computed in the forward pass and stored.) A tensor's buffer may be overwritten once all
that read the old contents have been scheduled.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from autodiff.array import Shape
from autodiff.program.ir import VIEWS, Instruction, Value
from autodiff.program.opaque import calls_back
from autodiff.program.plan.layout import squeezed
from autodiff.program.plan.place import Placement, base_of

__all__ = ["Stage", "schedule"]

_LONGEST_MAP = 128
_SMALL = 4096  # elements that may be kept until the end without harm


@dataclass
class Stage:
    """One instruction of the executor: a single op, or a map of elementwise ones."""

    members: list[Instruction]

    @property
    def is_map(self) -> bool:
        """Whether it is a map; its shape is that of its members without axes of size 1."""
        return self.members[0].op.op.elementwise

    @property
    def shape(self) -> Shape:
        """Shape of the outputs without axes of size 1."""
        return squeezed(self.members[0].output.shape)


def schedule(placement: Placement, *, fuse: bool = True) -> tuple[list[Stage], set[Value]]:
    """The stages of a placed program, in order; and tensors that stand in the way.

    Two tensors may be assigned each other's old contents: then neither can be written
    first. The second result names such states; they must be placed by way of a copy.
    """
    scheduler = _Scheduler(placement, fuse)
    stages = scheduler.run()
    stuck = {z for i in scheduler.unscheduled() for z in i.outputs}
    return stages, {state for value, state in placement.homes.items() if value in stuck}


class _Scheduler:
    def __init__(self, placement: Placement, fuse: bool) -> None:
        self.longest = _LONGEST_MAP if fuse else 1
        self.instructions = placement.program.instructions
        self.waiting: dict[Instruction, int] = dict.fromkeys(self.instructions, 0)
        self.readers: dict[Instruction, list[Instruction]] = {i: [] for i in self.instructions}
        # Readers of a tensor's old contents, by who overwrites it, that it cannot share a map with.
        self.rivals: dict[Instruction, list[Instruction]] = {}
        self.number: dict[Instruction, tuple[int, int]] = {}  # the order to keep to
        self.single: list[tuple[tuple[int, int], Instruction]] = []
        self.elementwise: dict[Shape, list[tuple[tuple[int, int], Instruction]]] = {}
        self.after_map: list[Instruction] = []  # what must wait until the present map ends
        self.in_map: set[Instruction] = set()
        self.stages: list[Stage] = []
        self._connect(placement)
        self._put_in_order()
        self.singles = sorted(  # those that are not scheduled yet, the next one last
            (
                self.number[i]
                for i in self.instructions
                if not (i.op.op.elementwise or i.op.name in VIEWS)
            ),
            reverse=True,
        )
        self.single_done: set[tuple[int, int]] = set()

    def _put_in_order(self) -> None:
        """Number the instructions; what is computed from one value waits for its first reader.

        (A slope, say, is computed where it is used: it takes as much memory as the value that
        it is computed from, and in its reader's map it takes none.) Small values that
        nothing reads, updates of biases say, wait for each other at the end.
        """
        origin: dict[Value, Value] = {}  # the one value that another is computed from
        for instruction in self.instructions:
            if instruction.op.op.elementwise or instruction.op.name in VIEWS:
                large = {origin.get(x, x) for x in instruction.inputs if x.size > 1}
                if len(large) == 1 and base_of(x := large.pop()).producer is not None:
                    origin[instruction.output] = x
        for n in reversed(range(len(self.instructions))):
            instruction = self.instructions[n]
            self.number[instruction] = n, n
            small = instruction.op.op.elementwise and instruction.output.size <= _SMALL
            if small and not self.readers[instruction]:
                self.number[instruction] = len(self.instructions), n
            elif instruction.first in origin:
                # (Who overwrites what it reads must wait for it too, and may stand before it.)
                later = [self.number[r][0] for r in self.readers[instruction] if r in self.number]
                if later:
                    self.number[instruction] = min(later), n

    def _connect(self, placement: Placement) -> None:
        for instruction in self.instructions:
            for x in instruction.inputs:
                if x.producer is not None:
                    self._edge(x.producer, instruction)
        self._connect_calls(placement)
        states = {state: value for value, state in placement.homes.items()}
        for instruction in self.instructions:
            if instruction.op.name in VIEWS:
                continue
            for x in instruction.inputs:
                writer = states[base].producer if (base := base_of(x)) in states else None
                if writer is not None and writer is not instruction:
                    self._edge(instruction, writer)
                    plain = x is base and x.shape == instruction.first.shape
                    if not (plain and instruction.op.op.elementwise):
                        self.rivals.setdefault(writer, []).append(instruction)

    def _connect_calls(self, placement: Placement) -> None:
        """Nothing writes to a tensor before everything that is called back, and may fail, is done.

        (Where a call needs what a tensor is assigned, both wait: the tensor is stuck.)
        """
        calls = [i for i in self.instructions if calls_back(i)]
        if not calls:
            return
        for writer in self.instructions:
            if writer.op.name in VIEWS:
                continue
            if any(placement.layouts[z].storage.buffer is not None for z in writer.outputs):
                for call in calls:
                    self._edge(call, writer)

    def _edge(self, before: Instruction, after: Instruction) -> None:
        self.readers[before].append(after)
        self.waiting[after] += 1

    def run(self) -> list[Stage]:
        self._release([i for i in self.instructions if self.waiting[i] == 0])
        while self.single or self.elementwise:
            shape = min(self.elementwise, key=lambda s: self.elementwise[s][0], default=None)
            if shape is None or (self.single and self.single[0] < self.elementwise[shape][0]):
                number, instruction = heapq.heappop(self.single)
                self.single_done.add(number)
                self.stages.append(Stage([instruction]))
                self._release(self._done(instruction))
            else:
                self._one_map(shape)
        return self.stages

    def _next_single(self) -> tuple[int, int]:
        """The number of the first op that is not elementwise and not scheduled."""
        while self.singles and self.singles[-1] in self.single_done:
            self.single_done.discard(self.singles.pop())
        return self.singles[-1] if self.singles else (len(self.instructions) + 1, 0)

    def unscheduled(self) -> list[Instruction]:
        """What waits in a circle: tensors that are assigned each other's old contents."""
        return [i for i in self.instructions if self.waiting[i] > 0]

    def _one_map(self, shape: Shape) -> None:
        members: list[Instruction] = []
        limit = self._next_single()
        while shape in self.elementwise and len(members) < self.longest:
            queue = self.elementwise[shape]
            if members and queue[0][0] > limit:
                break
            instruction = heapq.heappop(queue)[1]
            if not queue:
                del self.elementwise[shape]
            members.append(instruction)
            self.in_map.add(instruction)
            ready = self._done(instruction)
            self._release([r for r in ready if not self._must_wait(r)])
            self.after_map.extend(r for r in ready if self._must_wait(r))
        self.stages.append(Stage(members))
        self.in_map.clear()
        released, self.after_map = self.after_map, []
        self._release(released)

    def _must_wait(self, instruction: Instruction) -> bool:
        """Whether it uses the present map's results otherwise than element by element."""
        if not self.in_map:
            return False
        if instruction.op.name == "reshape":
            x = instruction.inputs[0]
            return x.producer in self.in_map and squeezed(x.shape) != squeezed(
                instruction.output.shape
            )
        if instruction.op.name in VIEWS:
            return any(self._of_map(x) for x in instruction.inputs)
        return any(rival in self.in_map for rival in self.rivals.get(instruction, ()))

    def _of_map(self, value: Value) -> bool:
        while value.op == "reshape":
            value = value.inputs[0]
        return value.producer in self.in_map

    def _done(self, instruction: Instruction) -> list[Instruction]:
        ready = []
        for reader in self.readers[instruction]:
            self.waiting[reader] -= 1
            if self.waiting[reader] == 0:
                ready.append(reader)
        return ready

    def _release(self, ready: list[Instruction]) -> None:
        """Queue what is ready; views take no time and are done at once."""
        stack = list(ready)
        while stack:
            instruction = stack.pop()
            if instruction.op.name in VIEWS:
                for r in self._done(instruction):
                    if self._must_wait(r):
                        self.after_map.append(r)
                    else:
                        stack.append(r)
            elif instruction.op.op.elementwise:
                queue = self.elementwise.setdefault(squeezed(instruction.output.shape), [])
                heapq.heappush(queue, (self.number[instruction], instruction))
            else:
                heapq.heappush(self.single, (self.number[instruction], instruction))
