"""Kind `map`: elementwise ops of one shape, applied block by block in one pass over the data."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from autodiff.array import Array, Shape
from autodiff.op import OPS
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.kinds.copy import Copy
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.code.numbers import window
from autodiff.program.code.tags import FEW, NOTHING, Row
from autodiff.program.fused import find_op
from autodiff.program.ir import Instruction, Value
from autodiff.program.plan.layout import Layout, contiguous_strides, squeezed, view

__all__ = ["Apply", "Map", "Window"]

_MOST_AXES = 4
_COPY = "stop_gradient"
_PARAMETERS = {"power": "exponent"}  # attributes that kernels take as an operand, the last one


class Window(NamedTuple):
    """An operand with a stride for each axis.

    padded : an output in the arena that may be overwritten up to the next multiple of eight.
    """

    place: Operand
    strides: tuple[int, ...]
    padded: bool = False


class Apply(NamedTuple):
    """One op; n >= 0 is window n, n < 0 is register ~n. power's exponent is its last input."""

    op: str
    inputs: tuple[int, ...]
    output: int


@instruction_kind
class Map(Kind):
    """Ops applied to windows and registers, up to four axes.

    Windows overlap only if they are the same; what was written is read by the same number.

    cost : of all applications for one element, in additions: large maps are cut into parts by it.
    """

    name: ClassVar[str] = "map"
    ops: ClassVar[tuple[str, ...]] = ("scatter_slice",)  # zeros, then a copy
    elementwise: ClassVar[bool] = True
    colour: ClassVar[str] = "#ffffff"

    shape: tuple[int, ...]
    windows: tuple[Window, ...]
    applications: tuple[Apply, ...]
    cost: float

    # ---- from programs to instructions ----

    @classmethod
    def takes(cls, instruction: Instruction, position: int, layout: Layout) -> bool:
        """Any strides will do."""
        return True

    @classmethod
    def gives(cls, value: Value, same_shape: bool) -> bool:
        """Into any window, if it is computed element by element."""
        return value.producer is not None and value.producer.op.op.elementwise

    @classmethod
    def may_overwrite(cls, instruction: Instruction) -> int:
        """All operands: each element is read before it is written."""
        return len(instruction.inputs) if instruction.op.op.elementwise else 0

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """All members in one map; what only they need stays in registers."""
        if members[0].op.op.elementwise:
            _Gathering(members, lowering).emit()
        else:
            _emit_slice(members[0], lowering)

    # ---- what it means ----

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Each application must find what the program has there."""
        if len(self.applications) != len(meaning.sources):
            machine.fail(
                f"it applies {len(self.applications)} ops, it must apply {len(meaning.sources)}"
            )
        if 0 not in self.shape:
            _Checking(self, machine, meaning).run()

    def emulate(self, spaces: Sequence[Array]) -> None:
        """One op after the other, all elements at once."""
        windows = [window(spaces, w.place, self.shape, w.strides) for w in self.windows]
        registers: dict[int, Array] = {}
        for name, refs, output in self.applications:
            inputs = [registers[ref] if ref < 0 else windows[ref] for ref in refs]
            options = {}
            if name in _PARAMETERS:
                parameter = inputs.pop()
                number = float(parameter.flat[0]) if parameter.size else 0.0
                options[_PARAMETERS[name]] = number
            value = find_op(name).forward(*inputs, **options)
            if output < 0:
                registers[output] = np.array(value)
            else:
                windows[output][...] = value

    # ---- how it is shown ----

    def text(self, place: Places) -> str:
        """map [3]: r0 = tanh(x); z = add(r0, y)."""
        places = [place(w.place) for w in self.windows]

        def ref(number: int) -> str:
            return places[number] if number >= 0 else f"r{~number}"

        parts = [f"{ref(z)} = {op}({', '.join(map(ref, xs))})" for op, xs, z in self.applications]
        return f"map {list(self.shape)}: {'; '.join(parts)}"

    def title(self) -> str:
        """How many ops, and which."""
        ops = list(dict.fromkeys(apply.op.strip("_") for apply in self.applications))
        shown = ", ".join(ops[:4]) + (", …" if len(ops) > 4 else "")
        return f"map {list(self.shape)}, {len(self.applications)} ops: {shown}"


# ---- lowering ------------------------------------------------------------------------------


class _Gathering:
    """Makes one map of elementwise ops of one shape."""

    def __init__(self, members: Sequence[Instruction], lowering: Lowering) -> None:
        self.members = members
        self.lowering = lowering
        self.shape = squeezed(members[0].output.shape)
        self.rows = contiguous_strides(self.shape)
        self.windows: dict[tuple[Operand, tuple[int, ...]], int] = {}
        self.where: dict[Value, int] = {}  # a window, or ~register
        self.padded: set[int] = set()
        self.registers = _Registers()

    def emit(self) -> None:
        lowering, where, registers = self.lowering, self.where, self.registers
        kept, origins = lowering.kept, lowering.origins
        last_use: dict[Value, int] = {}
        for number, instruction in enumerate(self.members):
            for x in instruction.inputs:
                last_use[origins.get(x, x)] = number
        applications = []
        cost = 0.0
        for number, instruction in enumerate(self.members):
            output, name = instruction.output, instruction.op.name
            refs = [self._input(x, output.shape) for x in instruction.inputs]
            for origin in dict.fromkeys([origins.get(x, x) for x in instruction.inputs]):
                if last_use[origin] == number and (register := where.get(origin, 0)) < 0:
                    registers.free(register)
            if output in kept:
                layout = lowering.layouts[output]
                where[output] = self._window(layout, output.shape)
                if layout.storage.in_arena and layout.storage.size == output.size:
                    self.padded.add(where[output])
            else:
                where[output] = registers.take()
                if output not in last_use:
                    registers.free(where[output])
            if name in _PARAMETERS:
                refs.append(self._scalar(instruction.op.attributes[_PARAMETERS[name]]))
            applications.append(Apply(name, tuple(refs), where[output]))
            cost += instruction.op.op.cost
        label = ", ".join(dict.fromkeys([v.label for v in where if v.label and v in kept]))
        sources = [instruction.source for instruction in self.members]
        windows = [Window(*key) for key in self.windows]
        _emit(lowering, self.shape, windows, applications, cost, label, sources, self.padded)

    def _input(self, x: Value, shape: Shape) -> int:
        found = self.where.get(self.lowering.origins.get(x, x))
        if found is not None:
            return found
        if x.kind == "constant" and x.buffer is not None and x.buffer.size == 1:
            return self._scalar(float(x.buffer.reshape(())))
        return self._window(self.lowering.layouts[x], shape)

    def _scalar(self, number: float) -> int:
        key = self.lowering.scalar(number), (0,) * len(self.shape)
        return self.windows.setdefault(key, len(self.windows))

    def _window(self, layout: Layout, shape: Shape) -> int:
        if layout.shape == shape and layout.contiguous:
            strides = self.rows
        else:
            every = layout.broadcast(shape)
            strides = tuple([s for s, n in zip(every, shape, strict=True) if n != 1])
        key = self.lowering.operand(layout), strides
        return self.windows.setdefault(key, len(self.windows))


class _Registers:
    """Numbers of block registers; those that are free are used again, the last one first."""

    def __init__(self) -> None:
        self.idle: list[int] = []
        self.made = 0

    def take(self) -> int:
        """A free register, as ~number."""
        if self.idle:
            return self.idle.pop()
        self.made += 1
        return ~(self.made - 1)

    def free(self, register: int) -> None:
        """Give a register back."""
        self.idle.append(register)


def _emit(
    lowering: Lowering,
    shape: Shape,
    windows: Sequence[Window],
    applications: Sequence[Apply],
    cost: float,
    label: str,
    sources: Sequence[Instruction | None],
    padded: Collection[int] = (),
) -> None:
    """A map, or several that each do a part of it; or copies, where there are rows to move.

    padded : numbers of the outputs that fill their storage in the arena, which is rounded up.
    """
    merged_shape, merged = _merged(shape, windows)
    if len(merged_shape) > 1 and all(map(_is_copy, applications)):
        for (_, (x,), z), source in zip(applications, sources, strict=True):
            _emit_copy(lowering, shape, (windows[x], windows[z]), label, source)
        return
    if len(merged_shape) <= _MOST_AXES:
        for number in padded:
            merged[number] = merged[number]._replace(padded=True)
        made = Map(merged_shape, tuple(merged), tuple(applications), cost)
        lowering.emit(made, label, sources)
        return
    start = 0
    for part_shape, part in _pieces(merged_shape, merged):
        made = Map(part_shape, tuple(part), tuple(applications), cost)
        lowering.emit(made, label, sources, start)
        start += math.prod(part_shape)


def _emit_copy(
    lowering: Lowering,
    shape: Shape,
    pair: tuple[Window, Window],
    label: str,
    source: Instruction | None,
) -> None:
    """One window to another: nothing is gained by doing several such copies in blocks."""
    start = 0
    for part_shape, (x, z) in _pieces(*_merged(shape, pair)):
        made: Kind
        if len(part_shape) > 1:
            made = Copy(part_shape, x.place, x.strides, z.place, z.strides)
        else:
            made = Map(part_shape, (x, z), (Apply(_COPY, (0,), 1),), OPS[_COPY].cost)
        lowering.emit(made, label, [source], start)
        start += math.prod(part_shape)


def _emit_slice(instruction: Instruction, lowering: Lowering) -> None:
    """Zeros everywhere, then the slice."""
    (x,), output = instruction.inputs, instruction.output
    layout, z = lowering.layouts[x], lowering.layouts[output]
    zeros = Window(lowering.scalar(0.0), (0,))
    _emit_copy(lowering, (output.size,), (zeros, Window(lowering.operand(z), (1,))), output.label,
               None)  # fmt: skip
    getitem = OPS["getitem"].bind(index=instruction.op.attributes["index"])
    part = view(getitem, z, x.shape)
    assert part is not None
    pair = (
        Window(lowering.operand(layout), layout.strides),
        Window(lowering.operand(part), part.strides),
    )
    _emit_copy(lowering, x.shape, pair, output.label, None)


def _is_copy(apply: Apply) -> bool:
    """Whether it copies one place in memory to another."""
    return apply.op == _COPY and apply.inputs[0] >= 0 and apply.output >= 0


def _pieces(shape: Shape, windows: Sequence[Window]) -> Iterator[tuple[Shape, list[Window]]]:
    """An iteration space of few enough axes: one piece an index of the first one, if need be."""
    if len(shape) <= _MOST_AXES:
        yield shape, list(windows)
        return
    for i in range(shape[0]):
        inner = [
            Window(Operand(place.space, place.offset + i * strides[0]), strides[1:])
            for place, strides, _ in windows
        ]
        yield from _pieces(*_merged(shape[1:], inner))


def _merged(shape: Shape, windows: Sequence[Window]) -> tuple[Shape, list[Window]]:
    """Axes made one where every window goes on from one to the next."""
    if 0 in shape:
        return (0,), [Window(window.place, (1,)) for window in windows]
    if len(shape) < 2:
        return shape, list(windows)
    sizes = list(shape)
    strides = [list(window.strides) for window in windows]
    axis = len(sizes) - 1
    while axis > 0:
        n = sizes[axis]
        if all(s[axis - 1] == s[axis] * n for s in strides):
            sizes[axis - 1] *= n
            del sizes[axis]
            for s in strides:
                s[axis - 1] = s[axis]
                del s[axis]
        axis -= 1
    return tuple(sizes), [Window(w.place, tuple(s)) for w, s in zip(windows, strides, strict=True)]


# ---- checking ------------------------------------------------------------------------------


class _Checking:
    """Executes one map on tags.

    Code goes block by block, so a window that is written may not overlap any other.
    """

    def __init__(self, code: Map, machine: Machine, meaning: Meaning) -> None:
        self.code = code
        self.machine = machine
        self.tagged = machine.tagged
        self.shape = code.shape
        self.size = math.prod(code.shape)
        self.length = self.size * machine.itemsize if self.size <= FEW else self.size  # of rows
        self.meaning = meaning
        self.held: dict[int, Row] = {}  # by registers and windows
        self.read: list[int] = []  # windows that are read before they are written, if they are
        self.written: dict[int, None] = {}

    def run(self) -> None:
        """All applications, then write."""
        held, written = self.held, self.written
        for (name, refs, z), source in zip(
            self.code.applications, self.meaning.sources, strict=True
        ):
            if source is None or source.op.name == _COPY:
                if name != _COPY or len(refs) != 1:
                    self.machine.fail(f"{name} of {len(refs)} operands must be a copy")
                made = self.get(refs[0])
                held[z] = made if isinstance(made, bytes) else made.copy()
            else:
                held[z] = self.apply(name, refs, source)
            if z >= 0:
                written[z] = None
        self.store()

    def get(self, ref: int) -> Row:
        """The tags in a register or window."""
        row = self.held.get(ref)
        if row is None:
            if ref < 0:
                self.machine.fail(f"register {~ref} is read before it is written")
            place, strides, _ = self.code.windows[ref]
            row = self.held[ref] = self.machine.row(place, self.shape, strides)
            self.read.append(ref)
        return row

    def apply(self, name: str, refs: tuple[int, ...], source: Instruction) -> Row:
        """One op: its operands must hold what the program has there."""
        shape = source.output.shape
        if name != source.op.name:
            self.machine.fail(f"{name} must be {source!r}")
        if name in _PARAMETERS:
            refs = self.without_parameter(name, refs, source)
        if len(refs) != len(source.inputs):
            self.machine.fail(f"{name} of {len(refs)} operands must be {source!r}")
        held = self.held
        for number, (ref, x) in enumerate(zip(refs, source.inputs, strict=True)):
            found = held[ref] if ref in held else self.get(ref)
            wanted = self.wanted(x, shape)
            if found is not wanted and not self.same(found, wanted):
                array = self.tagged.array
                self.machine.expect(array(found), array(wanted), f"operand {number} of {name}")
        made = self.wanted(source.output, shape)
        if len(made) != self.length:
            self.machine.fail(f"it computes {self.size} elements of {source!r}")
        return made

    def without_parameter(
        self, name: str, refs: tuple[int, ...], source: Instruction
    ) -> tuple[int, ...]:
        """The operands but for the last one, which must be the attribute."""
        wanted = self.tagged.scalar(float(source.op.attributes[_PARAMETERS[name]]))
        if len(refs) != 2 or (self.tagged.array(self.get(refs[-1])) != wanted).any():
            self.machine.fail(f"its {_PARAMETERS[name]} must be that of {source!r}")
        return refs[:-1]

    def wanted(self, x: Value, shape: Shape) -> Row:
        """The tags of a value, or of the part of it that this map is about."""
        row = self.tagged.flat(x, shape)
        if len(row) == self.length:
            return row
        start = self.meaning.start
        return self.tagged.row(self.tagged.array(row)[start : start + self.size])

    @staticmethod
    def same(found: Row, wanted: Row) -> bool:
        """Whether they are equal."""
        if found is wanted:
            return True
        if isinstance(found, bytes):
            return isinstance(wanted, bytes) and found == wanted
        return not isinstance(wanted, bytes) and bool(np.array_equal(found, wanted))

    def store(self) -> None:
        """Write the outputs; what overlaps them is an error."""
        machine, shape, windows = self.machine, self.shape, self.code.windows
        for z in self.written:
            machine.begin_write(windows[z].place)
        suspicious = self.size <= FEW or self._may_overlap()
        if suspicious:
            self._check_reads()
        for z in self.written:
            place, strides, _ = windows[z]
            machine.put(place, shape, strides, self.held[z])
        if suspicious:
            for z in self.written:
                place, strides, _ = windows[z]
                if not self.same(machine.row(place, shape, strides), self.held[z]):
                    machine.fail(f"operand {z} overlaps another one, or itself")
        for z in self.written:
            if windows[z].padded:  # it may be written to the end of a block of eight
                low, high, space = self._extent(z)
                machine.spaces[space].tags[high : low + -(-(high - low) // 8) * 8] = NOTHING

    def _check_reads(self) -> None:
        """Spoil the windows that are written: no other one that was read may change."""
        machine, shape, windows = self.machine, self.shape, self.code.windows
        spoilt = self.tagged.spoilt(self.size)
        for z in self.written:
            place, strides, _ = windows[z]
            machine.put(place, shape, strides, spoilt)
        for ref in self.read:
            if ref not in self.written:
                place, strides, _ = windows[ref]
                if not self.same(machine.row(place, shape, strides), self.held[ref]):
                    machine.fail(f"operand {ref} overlaps one that is written")

    def _extent(self, ref: int) -> tuple[int, int, int]:
        (space, offset), strides, _ = self.code.windows[ref]
        low = high = offset
        for n, stride in zip(self.shape, strides, strict=True):
            if stride < 0:
                low += (n - 1) * stride
            else:
                high += (n - 1) * stride
        return low, high + 1, space

    def _may_overlap(self) -> bool:
        """Whether the hull of a window that is written meets another one's."""
        extents = []
        for ref in {*self.read, *self.written}:
            low, high, space = self._extent(ref)
            if ref in self.written and high - low < self.size:
                return True
            extents.append((space, low, high, ref in self.written))
        extents.sort()
        before, end, end_written = -1, 0, 0
        for space, low, high, written in extents:
            if space != before:
                before, end, end_written = space, 0, 0
            if low < end_written or (written and low < end):
                return True
            end = max(end, high)
            if written:
                end_written = max(end_written, high)
        return False
