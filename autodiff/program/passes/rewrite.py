"""Emitting instructions with the obvious simplifications: the ground the passes stand on.

An :class:`Emitter` appends instructions like a builder, but first looks for an equal one, folds
constants, and applies the identities of the ops, which need no thought (a slice of a concat is the
part, a concat of neighbouring slices is the whole, a transpose of a transpose is nothing ...).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from autodiff.backend.reference import Reference
from autodiff.op import OPS, BoundOp
from autodiff.program.ir import Builder, Instruction, Program, Value
from autodiff.program.opaque import Opaque

__all__ = [
    "Emitter",
    "Slice",
    "exchange",
    "is_constant",
    "renamed",
    "rewrite",
    "slice_of",
    "substitute",
]

_FOLD_LIMIT = 256  # elements; a larger constant is cheaper to compute than to keep

_execute = Reference().forward


class Slice(NamedTuple):
    """Elements start ... stop - 1 of `source` along one axis, all of the other axes."""

    source: Value
    axis: int
    start: int
    stop: int


def slice_of(value: Value) -> Slice | None:
    """`value` as a slice along one axis, if it is one."""
    if value.op != "getitem":
        return None
    source = value.inputs[0]
    restricted = None
    for axis, (item, size) in enumerate(zip(value.attribute("index"), source.shape, strict=False)):
        if not isinstance(item, tuple) or item[2] != 1:
            return None
        if item != (0, size, 1):
            if restricted is not None:
                return None
            restricted = Slice(source, axis, item[0], item[1])
    return restricted if len(value.attribute("index")) == len(source.shape) else None


def is_constant(value: Value, number: float) -> bool:
    """Whether every element of `value` is known to be `number`."""
    while value.op in ("broadcast_to", "reshape"):
        value = value.inputs[0]
    return (
        value.kind == "constant"
        and value.buffer is not None
        and value.size == 1
        and float(value.buffer.reshape(())) == number
    )


class Emitter(Builder):
    """A builder that simplifies what it appends, unless it is a plain one.

    program : whose concats it should know of.
    """

    def __init__(self, program: Program | None = None, *, plain: bool = False) -> None:
        super().__init__()
        self.plain = plain
        self._known: dict[Any, Value] = {}
        self._known_several: dict[Any, Instruction] = {}
        self._numbers = _Numbers()
        self._changed: set[Value] = set()  # values that are computed from something else now
        self.part_of: dict[Value, list[tuple[Value, int]]] = {}  # concats a value is part of
        for instruction in program.instructions if program is not None else ():
            if instruction.op.name == "concat":
                self._note_parts(instruction.output)

    def emit(self, op: BoundOp, inputs: Sequence[Value], label: str = "") -> Value:
        """The value of `op` for these inputs, as cheaply as it is known."""
        if self.plain:
            return super().emit(op, inputs, label)
        inputs = tuple(inputs)
        if op.op.identity is not None:
            known: Value | None = op.op.identity(self, op, inputs)
            if known is not None:
                known.label = known.label or label
                return known
        key = (self._numbers[op], *inputs)
        value = self._known.get(key)
        if value is not None:
            return self._needed_here(value)
        value = self._fold(op, inputs)
        if value is None:
            value = super().emit(op, inputs, label)
            assert value.producer is not None
            value.producer.simple = True
        self._known[key] = value
        if value.op == "concat":
            self._note_parts(value)
        return value

    def keep(self, old: Instruction, inputs: tuple[Value, ...]) -> Value:
        """Append an instruction of the program, which reads these inputs from now on.

        Its value stays what it is, unless it is known more cheaply.
        """
        if self.plain:
            old.inputs = inputs
            self.instructions.append(old)
            return old.output
        op, value = old.op, old.output
        changed = old.inputs != inputs
        settled = old.simple and not changed and self._changed.isdisjoint(inputs)
        is_concat = op.name == "concat"
        # (What a concat is depends on the concats that its parts are in.)
        if op.op.identity is not None and (not settled or is_concat):
            simpler: Value | None = op.op.identity(self, op, inputs)
            if simpler is not None:
                simpler.label = simpler.label or value.label
                simpler.where = simpler.where or value.where
                return simpler
        key = (self._numbers[op], *inputs)
        known = self._known.setdefault(key, value)
        if known is not value:
            return self._needed_here(known)
        if not settled:
            if (folded := self._fold(op, inputs)) is not None:
                self._known[key] = folded
                return folded
            old.inputs = inputs
            old.simple = True
            if changed or op.op.view:  # (Identities look through views.)
                self._changed.add(value)
        self.instructions.append(old)
        if is_concat:
            self._note_parts(value)
        return value

    def keep_all(
        self,
        old: Instruction,
        inputs: tuple[Value, ...],
        regions: Callable[[Program], Program] | None = None,
    ) -> dict[Value, Value]:
        """As :meth:`keep`, of one that is not plain; what takes the places of its outputs.

        regions : what takes the place of the programs that it owns.
        """
        if old.inputs != inputs:
            self._changed.update(old.outputs)
        old.inputs = inputs
        if regions is not None:
            old.regions = tuple(map(regions, old.regions))
        if not (self.plain or old.regions):
            known = self._known_several.setdefault((self._numbers[old.op], *inputs), old)
            if known is not old:
                self._needed_here(known.outputs[0])
                return dict(zip(old.outputs, known.outputs, strict=True))
        self.instructions.append(old)
        return {}

    def _needed_here(self, value: Value) -> Value:
        """A known value, which is needed as early as what is emitted now."""
        if value.producer is not None and self.rank is not None:
            value.producer.rank = min(value.producer.rank, self.rank)
        return value

    def _note_parts(self, whole: Value) -> None:
        offset = 0
        for part in whole.inputs:
            self.part_of.setdefault(part, []).append((whole, offset))
            offset += part.shape[whole.attribute("axis")]

    def _fold(self, op: BoundOp, inputs: Sequence[Value]) -> Value | None:
        for x in inputs:
            if x.kind != "constant":
                return None
        if op.name == "broadcast_to" or isinstance(op.op, Opaque):  # (which may fail: not yet)
            return None
        if any(x.size > _FOLD_LIMIT for x in inputs):
            return None
        arrays = [x.buffer for x in inputs]
        if np.prod(op.shape(*[x.shape for x in inputs]), dtype=float) > _FOLD_LIMIT:
            return None
        return self.constant(_execute(op, [a for a in arrays if a is not None]))

    # ---- for the identities of ops ----------------------------------------------------

    is_constant = staticmethod(is_constant)
    slice_of = staticmethod(slice_of)

    def apply(self, name: str, *inputs: Value, **attributes: Any) -> Value:
        """Emit an op of the table by its name."""
        return self.emit(OPS[name].bind(**attributes), inputs)

    def concat(self, parts: Sequence[Value], axis: int) -> Value:
        """The parts side by side."""
        return self.apply("concat", *parts, axis=axis)

    def transpose(self, x: Value) -> Value:
        """A matrix transposed."""
        return self.apply("transpose", x, axes=(1, 0))

    def at(self, value: Value) -> Emitter:
        """This emitter, set to the rank of `value`."""
        self.rank = value.producer.rank if value.producer is not None else 0
        return self

    def slice(self, x: Value, axis: int, start: int, stop: int) -> Value:
        """A slice along one axis."""
        index = tuple((start, stop, 1) if a == axis else (0, n, 1) for a, n in enumerate(x.shape))
        return self.apply("getitem", x, index=index)

    def reshape(self, x: Value, shape: tuple[int, ...]) -> Value:
        """The same elements in another shape."""
        return self.apply("reshape", x, shape=shape)


class _Numbers(dict[Any, int]):
    """Numbers of ops: of equal ones the same. By object, and by what they compute."""

    def __missing__(self, op: BoundOp) -> int:
        number = self[op] = self.setdefault(op.key(), len(self))
        return number


def rewrite(
    program: Program,
    change: Callable[[Emitter, Instruction, tuple[Value, ...]], Value | None],
    *,
    plain: bool = False,
    regions: Callable[[Program], Program] | None = None,
) -> Program:
    """Emit every instruction anew; `change` may say what takes the place of one.

    change : given the emitter, an old instruction of one output and its new inputs; None: no
        change.
    plain : without simplifying anything else.
    regions : what takes the place of the programs that instructions own.
    """
    emitter = Emitter(plain=plain)
    new: dict[Value, Value] = {}
    replaced = new.keys()
    for old in program.instructions:
        inputs = old.inputs
        if not replaced.isdisjoint(inputs):
            inputs = renamed(inputs, new)
        emitter.rank = old.rank
        if not old.plain:
            new.update(emitter.keep_all(old, inputs, regions))
            continue
        value = change(emitter, old, inputs)
        if value is None:
            value = emitter.keep(old, inputs)
        if value is not old.output:
            new[old.output] = value
    return program.replaced(emitter.instructions, new).in_order()


def exchange(program: Program, instead: Callable[[Instruction], Instruction | None]) -> Program:
    """The program with instructions in the place of others, and nothing else simplified.

    instead : given an instruction with its inputs as they are now, what takes its place, and is
        computed from nothing that comes later; None: nothing.
    """
    new: dict[Value, Value] = {}
    instructions: list[Instruction] = []
    for instruction in program.instructions:
        if not new.keys().isdisjoint(instruction.inputs):
            instruction.inputs = renamed(instruction.inputs, new)
        made = instead(instruction)
        if made is not None:
            new[instruction.output] = made.output
        instructions.append(made or instruction)
    return program.replaced(instructions, new).in_order() if new else program


def renamed(values: tuple[Value, ...], new: dict[Value, Value]) -> tuple[Value, ...]:
    """The values, and what takes the place of some."""
    return tuple([new.get(x, x) for x in values])


def substitute(program: Program, new: dict[Value, Value]) -> Program:
    """The program with values replaced, wherever they are used, and sorted by need.

    The replacements may be defined by instructions that are not in the program yet, and by
    way of values that are replaced themselves. Each must be computed from nothing that the
    value it replaces is not computed from: then no value can depend on itself. (What
    brings several values together is for :mod:`autodiff.program.passes.arrange`.)
    """
    if not new:
        return program
    return _Substitution(new).run(program)


class _Substitution:
    """Emits instructions, each after those that compute what takes the place of its inputs."""

    def __init__(self, new: dict[Value, Value]) -> None:
        self.new = new
        self.now: dict[Value, Value] = {}  # what has become of values, where that is another one
        self.emitter = Emitter()
        self.done: set[Instruction] = set()

    def run(self, program: Program) -> Program:
        """All of a program, and what its outputs are now."""
        new, done = self.new.keys(), self.done
        for instruction in program.instructions:
            if instruction in done:
                continue
            if instruction.output in new if instruction.plain else new >= {*instruction.outputs}:
                continue
            if new.isdisjoint(instruction.inputs):
                self._keep(instruction, instruction.inputs)
            else:
                self._keep_with_inputs(instruction)
        final: dict[Value, Value] = {}
        for value in [*new, *program.outputs]:
            target = self._target(value)
            if target.producer is not None and target.producer not in done:
                self._keep_with_inputs(target.producer)
            final[value] = now = self.now.get(target, target)
            now.label = now.label or value.label
        return program.replaced(self.emitter.instructions, final).in_order()

    def _keep_with_inputs(self, instruction: Instruction) -> None:
        """An instruction that may be computed from what has no place in the program yet."""
        pending, begun, done = [instruction], set(), self.done
        while pending:
            instruction = pending[-1]
            if instruction in done:
                pending.pop()
                continue
            inputs = tuple([self._target(x) for x in instruction.inputs])
            missing = [p for x in inputs if (p := x.producer) is not None and p not in done]
            if missing:
                assert instruction not in begun, f"{instruction!r} would depend on itself"
                begun.add(instruction)
                pending.extend(reversed(missing))
            else:
                pending.pop()
                self._keep(instruction, inputs)

    def _keep(self, instruction: Instruction, inputs: tuple[Value, ...]) -> None:
        emitter, now = self.emitter, self.now
        self.done.add(instruction)
        emitter.rank = instruction.rank
        if not now.keys().isdisjoint(inputs):
            inputs = renamed(inputs, now)
        if instruction.plain:
            value = emitter.keep(instruction, inputs)
            if value is not instruction.output:
                now[instruction.output] = value
        else:
            now.update(emitter.keep_all(instruction, inputs))

    def _target(self, value: Value) -> Value:
        """What takes the place of a value, as it was before it was emitted."""
        while value in self.new:
            value = self.new[value]
        return value
