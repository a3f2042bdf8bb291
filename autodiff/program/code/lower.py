"""From placed values and the stages of a schedule to the flat code that the executor takes.

The code is a list of tuples, as ``autodiff._core.Program`` has them. An operand is (space, offset):
space 0 is the arena, then come the arguments, then the fixed buffers: tensors, large
constants, and one buffer that holds all scalar constants.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from autodiff.array import Array, Shape
from autodiff.errors import RecordingError
from autodiff.op import OPS
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.plan.arena import plan
from autodiff.program.plan.layout import Layout, Storage, squeezed, view
from autodiff.program.plan.place import Placement, base_of, place
from autodiff.program.plan.schedule import Stage, schedule

__all__ = ["Code", "Operand", "lower"]

Operand: TypeAlias = tuple[int, int]
_MOST_AXES = 4  # of the iteration space of a run


@dataclass
class Meaning:
    """The instructions of the program that one instruction of the code carries out.

    sources : one for each micro of a run, else a single one; None for a copy.
    start : the element of their outputs, row by row, with which a run begins.
    """

    sources: Sequence[Instruction | None]
    start: int = 0


@dataclass
class Code:
    """What the executor loads.

    arguments : shapes. buffers : arrays that the code refers to, in the order of their spaces.
    instructions : see :mod:`autodiff.program.code.lower`. labels : for each instruction, what it
    computes, for listings and profiles. results : pairs of operand and shape. names : of the
    buffers that are tensors, by number. meanings : for each instruction, what
    :mod:`autodiff.program.code.verify` holds it to.
    """

    arena_size: int = 0
    arguments: list[Shape] = field(default_factory=list)
    buffers: list[Array] = field(default_factory=list)
    instructions: list[tuple[Any, ...]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    results: list[tuple[Operand, Shape]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    meanings: list[Meaning] = field(default_factory=list)


def lower(
    program: Program, *, fuse: bool = True, in_place: bool = True, reuse: bool = True
) -> Code:
    """Place, schedule and flatten a program.

    Parameters
    ----------
    fuse : gather elementwise ops in runs.
    in_place : compute what a tensor is assigned in its buffer.
    reuse : let values that live at different times share memory.
    """
    buffered: set[Value] = set()
    while True:
        placement = place(program, in_place=in_place, buffered=buffered)
        stages, stuck = schedule(placement, fuse=fuse)
        if not stuck:
            break
        assert not stuck <= buffered  # a copy waits for nothing but its value
        buffered |= stuck
    return _Lowering(placement, stages, reuse).run()


class _Lowering:
    def __init__(self, placement: Placement, stages: list[Stage], reuse: bool) -> None:
        self.placement = placement
        self.layouts = placement.layouts
        self.program = placement.program
        self.stages = stages
        self.reuse = reuse
        self.code = Code(arguments=[x.shape for x in self.program.arguments])
        self.spaces: dict[int, int] = {}  # id of a buffer: its space
        self.scalars: dict[bytes, int] = {}
        self.stage_of: dict[Value, int] = {}

    def run(self) -> Code:
        kept = self._lifetimes()
        storages = {id(s): s for s in (self.layouts[v].storage for v in kept) if s.in_arena}
        self.code.arena_size = plan(storages.values(), reuse=self.reuse)
        self.code.buffers.append(np.zeros(0))  # the scalars' place; filled at the end
        for stage in self.stages:
            if stage.is_map:
                self._run(stage, kept)
            else:
                self._single(stage.members[0])
        for v in self.program.results:
            self.code.results.append((self._operand(self.layouts[v]), v.shape))
        scalars = np.frombuffer(b"".join(self.scalars) or bytes(8), dtype=np.float64)
        self.code.buffers[0] = scalars
        return self.code

    # ---- lives ------------------------------------------------------------------------

    def _lifetimes(self) -> dict[Value, None]:
        """Which values need memory; and when each storage is first and last touched.

        A value that is used only within the run that computes it needs none.
        """
        kept = dict.fromkeys(self.placement.parts)  # in order: the code is the same every time
        for number, stage in enumerate(self.stages):
            for instruction in stage.members:
                self.stage_of[instruction.output] = number
        for number, stage in enumerate(self.stages):
            for instruction in stage.members:
                for x in instruction.inputs:
                    if not stage.is_map or self.stage_of.get(self._origin(x)) != number:
                        self._touch(x, number)
                        kept.update({x: None, base_of(x): None})
                if not stage.is_map:
                    kept[instruction.output] = None
        for v in self.program.outputs:
            self._touch(v, len(self.stages))
            kept.update({v: None, base_of(v): None})
        for value, number in self.stage_of.items():
            if value in kept:
                self._touch(value, number)
        return kept

    def _touch(self, value: Value, number: int) -> None:
        storage = self.layouts[value].storage
        storage.first = number if storage.first < 0 else min(storage.first, number)
        storage.last = max(storage.last, number)

    @staticmethod
    def _origin(value: Value) -> Value:
        """The value itself, seen through reshapes that leave the elements' order."""
        while value.op == "reshape" and squeezed(value.shape) == squeezed(value.inputs[0].shape):
            value = value.inputs[0]
        return value

    # ---- operands ---------------------------------------------------------------------

    def _operand(self, layout: Layout) -> Operand:
        if 0 in layout.shape:  # where a slice begins may lie beyond what has no elements
            return self._space(layout.storage), 0
        return self._space(layout.storage), layout.storage.offset + layout.offset

    def _space(self, storage: Storage) -> int:
        if storage.argument >= 0:
            return 1 + storage.argument
        if storage.buffer is None:
            return 0
        key = id(storage.buffer)
        if key not in self.spaces:
            self.spaces[key] = 1 + len(self.code.arguments) + len(self.code.buffers)
            if storage.label:
                self.code.names[len(self.code.buffers)] = storage.label
            self.code.buffers.append(storage.buffer)
        return self.spaces[key]

    def _scalar(self, number: float) -> Operand:
        bits = np.float64(number).tobytes()
        index = self.scalars.setdefault(bits, len(self.scalars))
        return 1 + len(self.code.arguments), index

    def _emit(
        self,
        instruction: tuple[Any, ...],
        label: str,
        sources: Sequence[Instruction | None],
        start: int = 0,
    ) -> None:
        self.code.instructions.append(instruction)
        self.code.labels.append(label)
        self.code.meanings.append(Meaning(sources, start))

    def _emit_run(
        self,
        shape: Shape,
        operands: Sequence[tuple[Operand, tuple[int, ...]]],
        micro: Sequence[tuple[Any, ...]],
        label: str,
        sources: Sequence[Instruction | None],
        roomy: Collection[int] = (),
    ) -> None:
        """A run, or several that each do a part of it.

        roomy : numbers of the outputs that fill their storage in the arena, which is rounded
            up: they may be overwritten up to the next multiple of eight.
        """
        start = 0
        pieces = list(_pieces(shape, operands))
        if len(pieces[0][0]) > 1 and all(_is_copy(m) for m in micro):
            self._emit_copies(shape, operands, micro, label, sources)
            return
        for part_shape, part in pieces:
            if roomy and len(pieces) == 1:
                part = [
                    (*entry, True) if number in roomy else entry  # type: ignore[misc]
                    for number, entry in enumerate(part)
                ]
            self._emit(("run", part_shape, part, micro), label, sources, start)
            start += math.prod(part_shape)

    def _emit_copies(
        self,
        shape: Shape,
        operands: Sequence[tuple[Operand, tuple[int, ...]]],
        micro: Sequence[tuple[Any, ...]],
        label: str,
        sources: Sequence[Instruction | None],
    ) -> None:
        """Copies with rows, one after the other: nothing is gained by doing them in blocks."""
        copy = ("stop_gradient", 0, None, None, 1)
        for (_, x, _, _, z), source in zip(micro, sources, strict=True):
            start = 0
            for part_shape, part in _pieces(shape, [operands[x], operands[z]]):
                if len(part_shape) > 1:
                    self._emit(("copy", part_shape, *part[0], *part[1]), label, [source], start)
                else:
                    self._emit(("run", part_shape, part, [copy]), label, [source], start)
                start += math.prod(part_shape)

    # ---- runs -------------------------------------------------------------------------

    def _run(self, stage: Stage, kept: Collection[Value]) -> None:
        shape = stage.shape
        operands: dict[tuple[Operand, tuple[int, ...]], int] = {}
        last_use: dict[Value, int] = {}
        for number, instruction in enumerate(stage.members):
            for x in instruction.inputs:
                last_use[self._origin(x)] = number
        where: dict[Value, int] = {}  # operand number, or ~register
        roomy: set[int] = set()
        registers = _Registers()
        micro: list[tuple[Any, ...]] = []

        def operand(layout: Layout, output_shape: Shape) -> int:
            strides = layout.broadcast(output_shape)
            kept_axes = tuple(s for s, n in zip(strides, output_shape, strict=True) if n != 1)
            return operands.setdefault((self._operand(layout), kept_axes), len(operands))

        for number, instruction in enumerate(stage.members):
            refs: list[int | None] = [
                where[origin]
                if (origin := self._origin(x)) in where
                else self._input(x, instruction.output.shape, operand, operands, len(shape))
                for x in instruction.inputs
            ]
            for origin in dict.fromkeys(self._origin(x) for x in instruction.inputs):
                if last_use[origin] == number and where.get(origin, 0) < 0:
                    registers.free(where[origin])
            output = instruction.output
            if output in kept:
                layout = self.layouts[output]
                where[output] = operand(layout, output.shape)
                if layout.storage.in_arena and layout.storage.size == output.size:
                    roomy.add(where[output])
            else:
                where[output] = registers.take()
                if output not in last_use:
                    registers.free(where[output])
            refs += [None] * (3 - len(refs))
            if instruction.op.name == "power":
                exponent = self._scalar(instruction.op.attributes["exponent"])
                refs[2] = operands.setdefault((exponent, (0,) * len(shape)), len(operands))
            micro.append((instruction.op.name, *refs, where[output]))
        label = ", ".join(dict.fromkeys(v.label for v in where if v.label and v in kept))
        sources = [instruction.source for instruction in stage.members]
        self._emit_run(shape, list(operands), micro, label, sources, roomy)

    def _input(self, x: Value, shape: Shape, operand: Any, operands: Any, n_axes: int) -> int:
        if x.kind == "constant" and x.size == 1:
            assert x.buffer is not None
            key = self._scalar(float(x.buffer.reshape(()))), (0,) * n_axes
            return operands.setdefault(key, len(operands))  # type: ignore[no-any-return]
        return operand(self.layouts[x], shape)  # type: ignore[no-any-return]

    # ---- single stages ----------------------------------------------------------------

    def _single(self, instruction: Instruction) -> None:
        emit = getattr(self, f"_emit_{instruction.op.name}", None)
        if emit is None:
            raise RecordingError(
                f"op {instruction.op.name!r} has no kernel and cannot be part of a compiled step"
            )
        emit(instruction)

    def _emit_matmul(self, instruction: Instruction) -> None:
        a, b = (self.layouts[x] for x in instruction.inputs)
        self._gemm(instruction, a, b, 1.0, None, 0.0)

    def _emit_product_add(self, instruction: Instruction) -> None:
        _, x, y, scale = instruction.inputs
        sign = instruction.op.attributes["sign"]
        a, b = self.layouts[x], self.layouts[y]
        if scale.kind == "constant" and scale.buffer is not None:
            self._gemm(instruction, a, b, sign * float(scale.buffer), None, 1.0)
        else:
            place = self._operand(self.layouts[scale])
            self._gemm(instruction, a, b, sign, place, 1.0)

    def _gemm(
        self,
        instruction: Instruction,
        a: Layout,
        b: Layout,
        alpha: float,
        scale: Operand | None,
        beta: float,
    ) -> None:
        c = self.layouts[instruction.output]
        (ta, lda), (tb, ldb), out = a.matrix(), b.matrix(), c.matrix()  # type: ignore[misc]
        assert out is not None
        (m, k), n = a.shape[-2:], b.shape[-1]
        stack = c.shape[:-2]
        strides = [x.broadcast((*stack, *x.shape[-2:]))[:-2] for x in (a, b, c)]
        operands = [self._operand(x) for x in (a, b, c)]
        if out[0]:  # C' = B' A', where C lies column by column
            self._emit(
                ("gemm", int(not tb), int(not ta), n, m, k, (alpha, scale), operands[1], ldb,
                 operands[0], lda, beta, operands[2], out[1], stack, strides[1], strides[0],
                 strides[2]),
                instruction.output.label,
                [instruction.source],
            )  # fmt: skip
            return
        self._emit(
            ("gemm", int(ta), int(tb), m, n, k, (alpha, scale), operands[0], lda, operands[1], ldb,
             beta, operands[2], out[1], stack, *strides),
            instruction.output.label,
            [instruction.source],
        )  # fmt: skip

    def _reduction(self, instruction: Instruction) -> None:
        """Over axes that are neighbours; others have been moved by the pass `legalise`."""
        x = self.layouts[instruction.inputs[0]]
        z = self.layouts[instruction.output]
        axis = instruction.op.attributes["axis"]
        first, last = (axis[0], axis[-1] + 1) if axis else (0, 0)
        a = math.prod(x.shape[:first])
        r = math.prod(x.shape[first:last])
        b = math.prod(x.shape[last:])
        self._emit(
            (instruction.op.name, a, r, b, self._operand(x), self._operand(z)),
            instruction.output.label,
            [instruction.source],
        )

    _emit_sum = _emit_max = _reduction

    def _over_rows(self, instruction: Instruction) -> None:
        x = self.layouts[instruction.inputs[0]]
        z = self.layouts[instruction.output]
        n = math.prod(x.shape[a] for a in instruction.op.attributes["axis"])
        rows = math.prod(x.shape) // max(n, 1)
        self._emit(
            (instruction.op.name, rows, n, self._operand(x), self._operand(z)),
            instruction.output.label,
            [instruction.source],
        )

    _emit_softmax = _emit_log_softmax = _emit_logsumexp = _over_rows

    def _rows_by_number(self, instruction: Instruction) -> None:
        x, rows = (self.layouts[v] for v in instruction.inputs)
        z = self.layouts[instruction.output]
        n = math.prod(rows.shape)
        table = x if instruction.op.name == "take" else z
        row_size = math.prod(table.shape[1:])
        self._emit(
            (instruction.op.name, table.shape[0], row_size, n,
             self._operand(x), self._operand(rows), self._operand(z)),
            instruction.output.label,
            [instruction.source],
        )  # fmt: skip

    def _emit_scatter_slice(self, instruction: Instruction) -> None:
        """Zeros everywhere, then the slice."""
        x, z = (self.layouts[v] for v in (*instruction.inputs, instruction.output))
        label = instruction.output.label
        zero: tuple[Operand, tuple[int, ...]] = (self._scalar(0.0), (0,))
        size = math.prod(z.shape)
        fill = [zero, (self._operand(z), (1,))]
        copy = [("stop_gradient", 0, None, None, 1)]
        self._emit_run((size,), fill, copy, label, [None])
        getitem = OPS["getitem"].bind(index=instruction.op.attributes["index"])
        window = view(getitem, z, x.shape)
        assert window is not None
        pair = [(self._operand(x), x.strides), (self._operand(window), window.strides)]
        self._emit_run(x.shape, pair, copy, label, [None])

    _emit_take = _emit_scatter_rows = _rows_by_number


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


def _is_copy(micro: tuple[Any, ...]) -> bool:
    """Whether a map copies one place in memory to another."""
    name, x, _, _, z = micro
    return name == "stop_gradient" and x >= 0 and z >= 0  # type: ignore[no-any-return]


def _pieces(
    shape: Shape, operands: Sequence[tuple[Operand, tuple[int, ...]]]
) -> Iterable[tuple[Shape, list[tuple[Operand, tuple[int, ...]]]]]:
    """An iteration space of few enough axes: neighbours merged, else one piece an index."""
    merged_shape, merged = _merged(shape, operands)
    if len(merged_shape) <= _MOST_AXES:
        yield merged_shape, merged
        return
    for i in range(merged_shape[0]):
        inner = [
            ((space, offset + i * strides[0]), strides[1:]) for (space, offset), strides in merged
        ]
        yield from _pieces(merged_shape[1:], inner)


def _merged(
    shape: Shape, operands: Sequence[tuple[Operand, tuple[int, ...]]]
) -> tuple[Shape, list[tuple[Operand, tuple[int, ...]]]]:
    """Axes made one where every operand goes on from one to the next."""
    if 0 in shape:
        return (0,), [(place, (1,)) for place, _ in operands]
    sizes = list(shape)
    strides = [list(s) for _, s in operands]
    axis = len(sizes) - 1
    while axis > 0:
        if all(s[axis - 1] == s[axis] * sizes[axis] for s in strides):
            sizes[axis - 1] *= sizes[axis]
            del sizes[axis]
            for s in strides:
                s[axis - 1] = s[axis]
                del s[axis]
        axis -= 1
    places = [place for place, _ in operands]
    return tuple(sizes), [(p, tuple(s)) for p, s in zip(places, strides, strict=True)]
