"""Deciding where every value lives, and inserting the copies that this needs.

Parts of a concat are computed in their place in it, where they can be; a value that a tensor
is assigned is computed in the tensor's buffer, where nothing still needs the old
contents. What cannot be placed is copied by an instruction of its own, which the
scheduler fuses with its neighbours.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from autodiff.op import OPS, Op
from autodiff.program.code.kinds import kind_of
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.plan.layout import Layout, Storage, contiguous_strides, squeezed, view

__all__ = ["Placement", "base_of", "origin_of", "place"]

COPY = OPS["stop_gradient"].bind()
_MAX_NESTING = 50


@dataclass
class Placement:
    """A program whose views are all free, and the layout of each of its values.

    homes : for a value that is computed in a tensor's buffer, the state it replaces.
    parts : the values that are computed in a part of a concat.
    """

    program: Program
    layouts: dict[Value, Layout]
    homes: dict[Value, Value]
    parts: Collection[Value]


def base_of(value: Value) -> Value:
    """The value whose elements `value` shows: the other end of a chain of views."""
    while (producer := value.producer) is not None and _shows(producer.op.op):
        value = producer.inputs[0]
    return value


def origin_of(value: Value) -> Value:
    """The value that `value` shows in the same order, but for axes of size 1."""
    while _keeps_order(value):
        value = value.inputs[0]
    return value


def _shows(op: Op) -> bool:
    """Whether it shows one value, from another side."""
    return op.view and not op.variadic


def _joins(op: Op) -> bool:
    """Whether it is a place where values are computed next to each other."""
    return op.view and op.variadic


def _keeps_order(value: Value) -> bool:
    """Whether it shows all elements of another value, one after the other as there."""
    if value.op != "reshape":
        return False
    return squeezed(value.shape) == squeezed(value.inputs[0].shape)


def place(
    program: Program, *, in_place: bool = True, buffered: Collection[Value] = ()
) -> Placement:
    """Give every value a layout. The program given is left as it is.

    in_place : whether the value a tensor is assigned may be computed in its buffer.
    buffered : states that must be written by way of a copy.
    """
    return _Placer(program, in_place, buffered).run()


@dataclass
class _Part:
    """Where in a concat a value is computed."""

    whole: Value
    axis: int
    start: int
    shape: tuple[int, ...]  # of the part, if the value has it in another shape
    depth: int


class _Placer:
    def __init__(self, program: Program, in_place: bool, buffered: Collection[Value]) -> None:
        self.program = program.copy()
        for copy, source in zip(self.program.instructions, program.instructions, strict=True):
            copy.source = source
            copy.regions = source.regions  # they are placed when they are lowered
        self.in_place = in_place
        self.buffered = buffered
        self.parts: dict[Value, _Part] = {}
        self.homes: dict[Value, Value] = {}
        self.onto: dict[Value, Value] = {}  # a value that lies where a later one will lie
        self.layouts: dict[Value, Layout] = {}

    def run(self) -> Placement:
        program = self.program
        program.instructions = self._with_part_copies()
        self._place_writes()
        self._place_sums()
        self._copy_results()
        program.instructions = self._with_view_copies()
        return Placement(program, self.layouts, self.homes, tuple(self.parts))

    # ---- concats ----------------------------------------------------------------------

    def _with_part_copies(self) -> list[Instruction]:
        result: list[Instruction] = []
        first: list[Instruction] = []  # copies of what is known before the program begins
        for instruction in self.program.instructions:
            if _joins(instruction.op.op):
                axis = instruction.op.attributes["axis"]
                start, inputs = 0, []
                for x in instruction.inputs:
                    part = x
                    if not self._place_part(x, x, instruction.output, axis, start):
                        copy = Instruction(COPY, [x], x.label, instruction.rank)
                        (result if base_of(x).producer is not None else first).append(copy)
                        part = copy.output
                        self._place_part(part, part, instruction.output, axis, start)
                    inputs.append(part)
                    start += x.shape[axis]
                instruction.inputs = tuple(inputs)
            result.append(instruction)
        order = dict.fromkeys(self._with_views_first(first) + result)  # each once
        return list(order)

    def _with_views_first(self, copies: list[Instruction]) -> list[Instruction]:
        """The copies, each after the views it is made through."""
        result: list[Instruction] = []
        for copy in copies:
            views = []
            value = copy.inputs[0]
            while value.producer is not None:
                views.append(value.producer)
                value = value.inputs[0]
            result.extend([*reversed(views), copy])
        return result

    def _place_part(self, value: Value, part: Value, whole: Value, axis: int, start: int) -> bool:
        if _keeps_order(value):
            return self._place_part(value.inputs[0], part, whole, axis, start)
        if value in self.parts or not _placeable(value, value.shape == part.shape):
            return False
        depth = 1 + max((self.parts[x].depth for x in value.inputs if x in self.parts), default=0)
        if depth > _MAX_NESTING:
            return False
        self.parts[value] = _Part(whole, axis, start, part.shape, depth)
        return True

    # ---- tensors ----------------------------------------------------------------------

    def _place_writes(self) -> None:
        """Compute what is assigned in the tensor's buffer, or copy it there."""
        writes = []
        for state, value in self.program.writes:
            if value is state:
                continue
            # (A tensor's own elements in another order cannot be moved within it.)
            by_copy = state in self.buffered or base_of(value) is state
            if by_copy:
                value = self._append_copy(value, state.label)
            if by_copy or not (self.in_place and self._fits_home(value, state)):
                value = self._append_copy(value, state.label)
            self.homes[value] = state
            value.label = value.label or state.label
            writes.append((state, value))
        self.program.writes = writes

    def _append_copy(self, value: Value, label: str) -> Value:
        copy = Instruction(COPY, [value], label, _LAST)
        self.program.instructions.append(copy)
        return copy.output

    def _fits_home(self, value: Value, state: Value) -> bool:
        if value in self.parts or value in self.homes or value.producer is None:
            return False
        kind = kind_of(value.producer.op.op)
        n = 0 if kind is None else kind.may_overwrite(value.producer)
        if n == 0:
            return False
        plain = all(x is state or base_of(x) is not state for x in value.inputs[:n])
        return plain and all(base_of(x) is not state for x in value.inputs[n:])

    def _place_sums(self) -> None:
        """What a product is added to must lie where the sum will lie."""
        uses = self.program.uses()
        outputs = set(self.program.outputs)
        result: list[Instruction] = []
        for instruction in self.program.instructions:
            kind = kind_of(instruction.op.op)
            position = None if kind is None else kind.must_overwrite(instruction)
            if position is not None:
                c, z = instruction.inputs[position], instruction.output
                if self.homes.get(z) is not c:
                    taken = c in self.parts or c in self.homes or c in outputs
                    if taken or len(uses[c]) > 1 or not _placeable(c, True):
                        copy = Instruction(COPY, [c], c.label, instruction.rank)
                        result.append(copy)
                        inputs = list(instruction.inputs)
                        inputs[position] = c = copy.output
                        instruction.inputs = tuple(inputs)
                    self.onto[c] = z
            result.append(instruction)
        self.program.instructions = result

    def _copy_results(self) -> None:
        """A result that shows a tensor which is written must be saved before that."""
        written = {state for state, _ in self.program.writes}
        results = []
        for value in self.program.results:
            if base_of(value) in written:
                copy = Instruction(COPY, [value], value.label, 0)
                self.program.instructions.append(copy)
                value = copy.output
            results.append(value)
        self.program.results = results

    # ---- layouts ----------------------------------------------------------------------

    def _with_view_copies(self) -> list[Instruction]:
        """Give layouts in order; where a view is impossible, make it one of a copy."""
        result: list[Instruction] = []
        for position, x in enumerate(self.program.arguments):
            storage = Storage(x.size, argument=position, label=x.label)
            self.layouts[x] = Layout(storage, 0, x.shape, contiguous_strides(x.shape))
        for instruction in self.program.instructions:
            if _shows(instruction.op.op):
                (x,), output = instruction.inputs, instruction.output
                layout = view(instruction.op, self._layout(x), output.shape)
                if layout is None:
                    x = self._copied(x, instruction, result)
                    layout = view(instruction.op, self._layout(x), output.shape)
                    assert layout is not None
                self.layouts[output] = layout
            else:
                self._make_operands_fit(instruction, result)
                for output in instruction.outputs:
                    self._layout(output)
            result.append(instruction)
        for i, v in enumerate(self.program.results):
            if not self._layout(v).contiguous:
                copy = Instruction(COPY, [v], v.label, _LAST)
                result.append(copy)
                self.program.results[i] = copy.output
        for v in self.program.outputs:
            self._layout(v)
        return result

    def _copied(self, x: Value, before: Instruction, result: list[Instruction]) -> Value:
        copy = Instruction(COPY, [x], x.label, before.rank)
        result.append(copy)
        before.inputs = tuple(copy.output if i is x else i for i in before.inputs)
        self._layout(copy.output)
        return copy.output

    def _make_operands_fit(self, instruction: Instruction, result: list[Instruction]) -> None:
        kind = kind_of(instruction.op.op)
        for position, x in enumerate(instruction.inputs):
            layout = self._layout(x)
            if kind is not None and not kind.takes(instruction, position, layout):
                self._copied(x, instruction, result)

    def _layout(self, value: Value) -> Layout:
        if value not in self.layouts:
            self.layouts[value] = self._new_layout(value)
        return self.layouts[value]

    def _new_layout(self, value: Value) -> Layout:
        if value in self.parts:
            part = self.parts[value]
            stop = part.start + part.shape[part.axis]
            window = self._layout(part.whole).slice(part.axis, part.start, stop)
            layout = window.reshape(value.shape)
            assert layout is not None
            return layout
        if value in self.onto:
            return self._layout(self.onto[value])
        if value in self.homes:
            home = self._layout(self.homes[value])
            return Layout(home.storage, 0, value.shape, home.strides)
        storage = Storage(value.size, buffer=value.buffer, label=value.label)
        return Layout(storage, 0, value.shape, contiguous_strides(value.shape))


_LAST = 1 << 60


def _placeable(value: Value, same_shape: bool) -> bool:
    """Whether the op that computes `value` can write to a window of something larger."""
    if value.producer is None:
        return False
    op = value.producer.op.op
    if _joins(op):
        return same_shape
    kind = kind_of(op)
    return kind is not None and kind.gives(value, same_shape)
