"""The program in single-assignment form: values, instructions, and what they mean.

A recorded program is a list of ops of the table, applied to values. A value is defined
once: it is an argument of the step, the state of a tensor as the step finds it, a
constant, or the output of one instruction. At the end the results are handed out, and the
`writes` are copied into the tensors that the step assigned.

Passes work on one copy of the recorded program, which is theirs: an instruction may get other
inputs, and its value keeps its identity (:mod:`autodiff.program.passes.rewrite`). What each pass
must keep is in :mod:`autodiff.program.wellformed`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from autodiff.array import Array, Shape
from autodiff.op import OPS, BoundOp

__all__ = ["VIEWS", "Builder", "Instruction", "Program", "Value", "forget"]

VIEWS = frozenset(name for name, op in OPS.items() if op.view)
"""Ops that only say where elements lie; the layout makes them free where it can."""


class Value:
    """One value of the program.

    kind : "argument", "state" (the buffer of a tensor), "constant" or "computed".
    buffer : of a state or constant, the array; None otherwise.
    op : name of the op that computes it; empty for what the program is given.
    position : which of the outputs of its producer it is.
    label : the name of the node it came from, for listings.
    where : (file, line) of the user's code that it came from, where that is known.
    """

    __slots__ = ("buffer", "kind", "label", "op", "position", "producer", "shape", "where")

    def __init__(
        self,
        shape: Shape,
        kind: str,
        buffer: Array | None = None,
        label: str = "",
        producer: Instruction | None = None,
    ) -> None:
        self.shape = shape
        self.kind = kind
        self.buffer = buffer
        self.label = label
        self.where: tuple[str, int] | None = None
        self.op = "" if producer is None else producer.op.name
        self.position = 0
        self.producer = producer

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def inputs(self) -> tuple[Value, ...]:
        """What it is computed from."""
        return self.producer.inputs if self.producer is not None else ()

    def attribute(self, name: str) -> Any:
        """An attribute of the op that computes it."""
        assert self.producer is not None
        return self.producer.op.attributes[name]

    def __repr__(self) -> str:
        return f"<{self.kind} {self.op} {self.label} {self.shape}>"


class Instruction:
    """One op applied to values; it defines `outputs`.

    output : the only one; an instruction with several has no such attribute.
    regions : programs that it owns, as a loop owns its body. A region sees nothing but its own
        arguments and constants (what it needs of the program around it is an operand) and writes
        to no tensor. What the arguments of its regions are is the op's to say.
    plain : has one output and no regions. Passes leave other instructions as they are, but for
        their operands.
    rank : when it was recorded, or when the instructions that it stands for were; keeps
        the order of a program that passes take apart close to the order of the user's step.
    simple : whether an emitter has found that no identity of its op applies to these inputs.
    source : of an instruction of a placed program, the one it was made from; None for a
        copy that placing has inserted.
    """

    __slots__ = (
        "_outputs",
        "inputs",
        "op",
        "output",
        "plain",
        "rank",
        "regions",
        "simple",
        "source",
    )

    output: Value
    _outputs: tuple[Value, ...]  # if it is not plain

    def __init__(
        self,
        op: BoundOp,
        inputs: Sequence[Value],
        label: str = "",
        rank: int = 0,
        shape: Any = None,  # of the output, if it is known; of several a tuple
        regions: tuple[Program, ...] = (),
    ) -> None:
        self.op = op
        self.inputs = inputs = tuple(inputs)
        self.rank = rank
        self.simple = False
        self.source: Instruction | None = None
        self.regions = regions
        if regions or op.op.several:
            self.plain = False
            self._define(self.promised() if shape is None else shape, label)
            return
        self.plain = True
        if shape is None:
            shape = _shape(op, inputs)
        self.output = Value(shape, "computed", None, label, self)

    def _define(self, shape: Any, label: str) -> None:
        """The outputs of an instruction that is not plain."""
        if not self.op.op.several:
            self.output = Value(shape, "computed", None, label, self)
            self._outputs = (self.output,)
        else:
            self._outputs = tuple([Value(s, "computed", None, "", self) for s in shape])
            for position, value in enumerate(self._outputs):
                value.position = position

    @property
    def outputs(self) -> tuple[Value, ...]:
        """All that it defines."""
        return (self.output,) if self.plain else self._outputs

    @property
    def first(self) -> Value:
        """The output, or the first of several."""
        return self.output if self.plain else self._outputs[0]

    def promised(self) -> Any:
        """What the op's rule says of the shape of the output, or of each of several.

        Raises ShapeError if the operands do not fit.
        """
        shapes = [x.shape for x in self.inputs]
        if self.regions:
            return self.op.op.shape(*shapes, regions=self.regions, **self.op.attributes)
        return self.op.shape(*shapes)

    @property
    def shape(self) -> Any:
        """The shape of the output; of several a tuple."""
        return tuple([z.shape for z in self.outputs]) if self.op.op.several else self.output.shape

    def __repr__(self) -> str:
        return f"<{self.op} of {len(self.inputs)} -> {self.shape}>"


def forget(instructions: Iterable[Instruction]) -> None:
    """Let go of instructions that nobody needs, so that no garbage collection must find them.

    (An instruction and its values know each other.)
    """
    for instruction in instructions:
        if instruction.plain:
            instruction.output.producer = None
            continue
        for value in instruction.outputs:
            value.producer = None


def _shape(op: BoundOp, inputs: Sequence[Value]) -> Shape:
    """The shape of the only output."""
    if op.op.elementwise:
        shape = inputs[0].shape
        for x in inputs:
            if x.shape != shape:
                break
        else:
            return shape
    return op.shape(*[x.shape for x in inputs])  # type: ignore[no-any-return]


_rank = operator.attrgetter("rank")


@dataclass
class Program:
    """Instructions in an order in which every value is defined before it is used.

    writes : pairs (state, value): the buffer of `state` holds `value` at the end.
    """

    arguments: list[Value] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)
    writes: list[tuple[Value, Value]] = field(default_factory=list)

    @property
    def outputs(self) -> list[Value]:
        """All values that must exist at the end."""
        return [*self.results, *(value for _, value in self.writes)]

    def uses(self) -> dict[Value, list[Instruction]]:
        """For every value the instructions that read it, once for each time."""
        uses: dict[Value, list[Instruction]] = {}
        for instruction in self.instructions:
            for x in instruction.inputs:
                if x in uses:
                    uses[x].append(instruction)
                else:
                    uses[x] = [instruction]
        return uses

    def replaced(self, instructions: Iterable[Instruction], new: dict[Value, Value]) -> Program:
        """This program with other instructions, and outputs renamed by `new`."""
        return Program(
            self.arguments,
            list(instructions),
            [new.get(v, v) for v in self.results],
            [(state, new.get(v, v)) for state, v in self.writes],
        )

    def copy(self) -> Program:
        """The same program, of instructions that may be changed."""
        new: dict[Value, Value] = {}
        instructions = []
        for old in self.instructions:
            inputs = [new.get(x, x) for x in old.inputs]
            if old.plain:
                value = old.output
                instruction = Instruction(old.op, inputs, value.label, old.rank, value.shape)
                instruction.output.where = value.where
                new[value] = instruction.output
            else:
                regions = tuple([region.copy() for region in old.regions])
                instruction = Instruction(old.op, inputs, "", old.rank, old.shape, regions)
                for z, z_old in zip(instruction.outputs, old.outputs, strict=True):
                    z.label, z.where = z_old.label, z_old.where
                    new[z_old] = z
            instructions.append(instruction)
        return self.replaced(instructions, new)

    def in_order(self) -> Program:
        """The same program, sorted by rank, without what nothing needs.

        The instructions must be in an order in which every value is defined before it is used;
        where ranks say nothing, it stays.
        """
        needed = set(self.outputs)
        order: list[Instruction] = []
        for instruction in reversed(self.instructions):
            plain = instruction.plain
            if (
                instruction.output in needed
                if plain
                else not needed.isdisjoint(instruction.outputs)
            ):
                needed.update(instruction.inputs)
                order.append(instruction)
        order.reverse()
        for instruction in order:
            rank = instruction.rank
            for x in instruction.inputs:
                producer = x.producer
                if producer is not None and producer.rank > rank:
                    instruction.rank = rank = producer.rank
        order.sort(key=_rank)  # stable
        return Program(self.arguments, order, self.results, self.writes)


class Derived(Protocol):
    """Instructions that are found once and appended often (:mod:`autodiff.program.derivation`)."""

    def applied(self, builder: Builder, operands: Sequence[Value]) -> list[Value | None]:
        """Append them."""


class Builder:
    """Appends instructions; constants of one value and kind are made once.

    beside : a builder whose constants are used, too.
    """

    def __init__(self, beside: Builder | None = None) -> None:
        self.instructions: list[Instruction] = []
        self.rank: int | None = None  # of what is emitted; None: one after the other
        self._scalars: dict[bytes, Value] = {} if beside is None else beside._scalars

    def constant(self, value: Any) -> Value:
        """A constant; scalars of the same bits are the same value."""
        array = np.array(value, dtype=np.float64)
        if array.ndim:
            array.flags.writeable = False
            return Value(array.shape, "constant", array)
        key = array.tobytes()
        if key not in self._scalars:
            array.flags.writeable = False
            self._scalars[key] = Value((), "constant", array)
        return self._scalars[key]

    def argument(self, shape: Shape, label: str) -> Value:
        """An argument of the step."""
        return Value(shape, "argument", None, label)

    def state(self, buffer: Array, label: str) -> Value:
        """What the buffer of a tensor holds as the step finds it."""
        return Value(buffer.shape, "state", buffer, label)

    def emit(self, op: BoundOp, inputs: Sequence[Value], label: str = "") -> Value:
        """Append one instruction and return what it defines."""
        rank = len(self.instructions) if self.rank is None else self.rank
        instruction = Instruction(op, inputs, label, rank)
        self.instructions.append(instruction)
        return instruction.output

    def again(self, like: Instruction, inputs: Sequence[Value]) -> Value:
        """Append an instruction of the op and of the shapes of another."""
        instruction = Instruction(like.op, inputs, "", len(self.instructions), like.output.shape)
        self.instructions.append(instruction)
        return instruction.output

    def derive(self, derivation: Derived, operands: Sequence[Value]) -> list[Value | None]:
        """Append what a derivation comes to for these operands; returns its results."""
        return derivation.applied(self, operands)

    def emit_several(
        self, op: BoundOp, inputs: Sequence[Value], regions: tuple[Program, ...] = ()
    ) -> tuple[Value, ...]:
        """Append one instruction and return all that it defines."""
        rank = len(self.instructions) if self.rank is None else self.rank
        instruction = Instruction(op, inputs, "", rank, None, regions)
        self.instructions.append(instruction)
        return instruction.outputs
