"""From placed values and scheduled stages to the flat code that the executor takes.

Which values need memory, and for how long, is decided here; what instructions look like, their
kinds decide (:mod:`autodiff.program.code.kinds`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autodiff.errors import RecordingError
from autodiff.program.code.flat import Code
from autodiff.program.code.kinds import kind_of
from autodiff.program.code.lowering import Lowering
from autodiff.program.ir import Program, Value, forget
from autodiff.program.opaque import Function
from autodiff.program.plan.arena import plan
from autodiff.program.plan.layout import Layout
from autodiff.program.plan.place import Placement, base_of, origin_of, place
from autodiff.program.plan.schedule import Stage, schedule

__all__ = ["lower"]


def lower(
    program: Program,
    *,
    fuse: bool = True,
    in_place: bool = True,
    reuse: bool = True,
    functions: Any = None,
) -> Code:
    """Place, schedule and flatten a program.

    Parameters
    ----------
    fuse : gather elementwise ops in maps.
    in_place : compute what a tensor is assigned in its buffer.
    reuse : let values that live at different times share memory.
    functions : list of those of the code around this program, if there is some.
    """
    functions = [] if functions is None else functions
    buffered: set[Value] = set()
    while True:
        placement = place(program, in_place=in_place, buffered=buffered)
        stages, stuck = schedule(placement, fuse=fuse)
        if not stuck:
            break
        assert not stuck <= buffered  # a copy waits for nothing but its value
        buffered |= stuck

    def lower_region(region: Program, functions: list[Function]) -> Code:
        return lower(region, fuse=fuse, in_place=in_place, reuse=reuse, functions=functions)

    code = _flatten(placement, stages, reuse, lower_region, functions)
    forget(placement.program.instructions)
    return code


def _flatten(
    placement: Placement,
    stages: list[Stage],
    reuse: bool,
    lower_region: Callable[[Program, list[Function]], Code],
    functions: list[Function],
) -> Code:
    program, layouts = placement.program, placement.layouts
    lives = _Lives(placement, stages)
    storages = {id(s): s for s in (layouts[v].storage for v in lives.kept) if s.in_arena}
    shapes = [x.shape for x in program.arguments]
    lowering = Lowering(shapes, layouts, lives.kept, lives.origins, lower_region, functions)
    lowering.code.arena_size = plan(storages.values(), reuse=reuse)
    for stage in stages:
        op = stage.members[0].op
        kind = kind_of(op.op)
        if kind is None:
            raise RecordingError(
                f"op {op.name!r} has no kernel and cannot be part of a compiled step"
            )
        kind.lower(stage.members, lowering)
    lowering.code.results = [(lowering.place(v), v.shape) for v in program.results]
    return lowering.finish()


class _Lives:
    """Which values need memory; and when each storage is first and last touched.

    A value that is used only within the map that computes it needs none.

    kept : the values that need memory, in order: the code is the same every time.
    origins : of each value that shows another one in the same order, that one.
    """

    def __init__(self, placement: Placement, stages: list[Stage]) -> None:
        self.layouts = placement.layouts
        self.kept: dict[Value, None] = dict.fromkeys(placement.parts)
        self.origins: dict[Value, Value] = {}
        made_in = {
            z: number
            for number, stage in enumerate(stages)
            for i in stage.members
            for z in i.outputs
        }
        for number, stage in enumerate(stages):
            is_map = stage.is_map
            for instruction in stage.members:
                for x in instruction.inputs:
                    if not is_map or made_in.get(self._origin(x)) != number:
                        self._touch(x, number)
                if not is_map:
                    self.kept.update(dict.fromkeys(instruction.outputs))
        for v in placement.program.outputs:
            self._touch(v, len(stages))
        for value, number in made_in.items():
            if value in self.kept:
                _touch(self.layouts[value], number)

    def _origin(self, x: Value) -> Value:
        producer = x.producer
        if producer is None or not producer.op.op.view:
            return x
        found = self.origins.get(x)
        if found is None:
            found = self.origins[x] = origin_of(x)
        return found

    def _touch(self, x: Value, number: int) -> None:
        self.kept[x] = None
        producer = x.producer
        if producer is not None and producer.op.op.view:
            self.kept[base_of(x)] = None
        _touch(self.layouts[x], number)


def _touch(layout: Layout, number: int) -> None:
    storage = layout.storage
    if storage.first < 0 or number < storage.first:
        storage.first = number
    if number > storage.last:
        storage.last = number
