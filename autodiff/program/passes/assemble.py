"""Pass `assemble`: a sum of slices within zeros is put together, where the slices lie apart.

The gradient of an array of which T parts were read is the sum of T arrays that are 0 but for a
part: T times the whole. Parts that lie apart are the blocks of a concat instead, and T parts cost
T. What overlaps is added as before, in the same order for each element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from autodiff.array import Shape
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.passes.rewrite import Emitter, substitute

__all__ = ["assemble"]

_MOST = 1 << 22  # elements of an array in which is looked for what overlaps


class _Block(NamedTuple):
    """A value that fills the elements from `low` to `high` of each axis."""

    low: Shape
    high: Shape
    value: Value

    @property
    def shape(self) -> Shape:
        """Of what it fills."""
        return tuple([b - a for a, b in zip(self.low, self.high, strict=True)])


def assemble(program: Program) -> Program:
    """Sums of slices, each put together as far as its slices do not overlap."""
    sums = _Sums(program)
    emitter = Emitter()
    new: dict[Value, Value] = {}
    for root in sums.roots():
        terms = sums.terms(root)
        shape = root.shape
        few = sum(x.op == "scatter_slice" for x in terms) < 2
        if few or 0 in shape or np.prod(shape, dtype=float) > _MOST:
            continue
        emitter.at(root)
        levels = _levels(shape, _of_one_place(emitter, shape, terms))
        found = [_level(emitter, shape, level) for level in levels]
        summands = [value for level in found for value in level]
        if len(summands) < len(terms):
            new[root] = _added(emitter, shape, summands)
    return substitute(program, new)


def _added(e: Emitter, shape: Shape, summands: Sequence[Value]) -> Value:
    if not summands:  # slices of nothing
        return e.apply("broadcast_to", e.constant(0.0), shape=shape)
    total = summands[0]
    for value in summands[1:]:
        total = e.apply("add", total, value)
    return total


class _Sums:
    """The sums of a program of which a term is a slice within zeros."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.uses: dict[Value, list[Instruction]] = {}
        if any(i.op.name == "scatter_slice" for i in program.instructions):
            self.uses = program.uses()
        self.outputs = set(program.outputs)

    def roots(self) -> list[Value]:
        """Sums that are no terms of others, which begin with what comes first."""
        if not self.uses:
            return []
        sums = [i.output for i in self.program.instructions if self._is_sum(i)]
        inner = {x for z in sums for x in z.inputs[:1] if self._is_private(x)}
        return [z for z in sums if z not in inner]

    def terms(self, root: Value) -> list[Value]:
        """What is added, in order."""
        found: list[Value] = []
        value = root
        while value is root or (self._is_private(value) and self._is_sum(value.producer)):
            value, term = value.inputs
            found.append(term)
        return [value, *reversed(found)]

    def _is_sum(self, instruction: Instruction | None) -> bool:
        if instruction is None or instruction.op.name != "add":
            return False
        shape = instruction.output.shape
        return all(x.shape == shape for x in instruction.inputs)

    def _is_private(self, value: Value) -> bool:
        return len(self.uses.get(value, ())) == 1 and value not in self.outputs


def _of_one_place(e: Emitter, shape: Shape, terms: Sequence[Value]) -> list[_Block | Value]:
    """The terms; those that fill one place, where no other comes, are one."""
    blocks = [_block(term) for term in terms]
    places: dict[tuple[Shape, Shape], list[Value]] = {}
    for block in blocks:
        if block is not None:
            places.setdefault(block[:2], []).append(e.reshape(block.value, block.shape))
    count = np.zeros(shape, np.int32)
    for low, high in places:
        count[tuple(map(slice, low, high))] += 1
    whole = any(block is None for block in blocks)
    found: list[_Block | Value] = []
    for term, block in zip(terms, blocks, strict=True):
        if block is None:
            found.append(term)
            continue
        parts = places.get(block[:2])
        there = count[tuple(map(slice, *block[:2]))]
        if whole or there.max(initial=0) > 1:
            found.append(block)
        elif parts is not None:
            found.append(block._replace(value=_added(e, block.shape, parts)))
            del places[block[:2]]
    return found


def _levels(shape: Shape, terms: Sequence[_Block | Value]) -> list[list[_Block | Value]]:
    """The terms in groups of which none overlap.

    An element is in a later group for each term that it is in, so sums are rounded as they were.
    """
    next_level = np.zeros(shape, np.int32)
    levels: list[list[_Block | Value]] = []
    for term in terms:
        there = next_level
        if isinstance(term, _Block):
            there = next_level[tuple(map(slice, term.low, term.high))]
        if there.size == 0:
            continue
        level = int(there.max())
        there[...] = level + 1
        if level == len(levels):
            levels.append([])
        levels[level].append(term)
    return levels


def _block(term: Value) -> _Block | None:
    """What a slice within zeros fills; None of others, and if it leaves gaps."""
    if term.op != "scatter_slice":
        return None
    low: list[int] = []
    high: list[int] = []
    for item in term.attribute("index"):
        if isinstance(item, int):
            low.append(item)
            high.append(item + 1)
        elif item is not None:
            start, stop, step = item
            if step != 1:
                return None
            low.append(start)
            high.append(max(start, stop))
    return _Block(tuple(low), tuple(high), term.inputs[0])


def _level(e: Emitter, shape: Shape, terms: Sequence[_Block | Value]) -> list[Value]:
    """Terms that do not overlap, as few of them as can be."""
    blocks = [term for term in terms if isinstance(term, _Block)]
    others = [term for term in terms if not isinstance(term, _Block)]
    whole = _joined(e, blocks, (0,) * len(shape), shape) if len(blocks) > 1 else None
    alone = [_alone(e, shape, block) for block in blocks] if whole is None else [whole]
    return [*alone, *others]


def _alone(e: Emitter, shape: Shape, block: _Block) -> Value:
    """A block within zeros."""
    index = tuple([(a, b, 1) for a, b in zip(block.low, block.high, strict=True)])
    value = e.reshape(block.value, block.shape)
    return (
        value if block.shape == shape else e.apply("scatter_slice", value, index=index, shape=shape)
    )


def _joined(e: Emitter, blocks: Sequence[_Block], low: Shape, high: Shape) -> Value | None:
    """What fills a region, with zeros where there is no block; None if they cannot be joined."""
    if not blocks:
        shape = tuple([b - a for a, b in zip(low, high, strict=True)])
        return e.apply("broadcast_to", e.constant(0.0), shape=shape)
    if len(blocks) == 1 and blocks[0][:2] == (low, high):
        return e.reshape(blocks[0].value, blocks[0].shape)
    for axis in range(len(low)):
        rows: dict[tuple[int, int], list[_Block]] = {}
        for block in blocks:
            rows.setdefault((block.low[axis], block.high[axis]), []).append(block)
        order = sorted(rows)
        apart = all(a[1] <= b[0] for a, b in zip(order, order[1:]))  # noqa: B905, RUF007
        if apart and order != [(low[axis], high[axis])]:
            return _joined_along(e, axis, rows, low, high)
    return None


def _joined_along(
    e: Emitter, axis: int, rows: dict[tuple[int, int], list[_Block]], low: Shape, high: Shape
) -> Value | None:
    parts: list[Any] = []
    here = low[axis]
    for start, stop in [*sorted(rows), (high[axis], high[axis])]:
        for first, last, blocks in ((here, start, []), (start, stop, rows.get((start, stop), []))):
            if last > first:
                inner = _at(low, axis, first), _at(high, axis, last)
                parts.append(_joined(e, blocks, *inner))
        here = stop
    return None if None in parts else e.concat(parts, axis)


def _at(place: Shape, axis: int, value: int) -> Shape:
    return (*place[:axis], value, *place[axis + 1 :])
