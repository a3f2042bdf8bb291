"""Batch rules: an op on every element of a batch at once.

A rule is ``rule(bound, operands, carries)``, see `batched` in :class:`autodiff.op.Op`. Where
`carries[i]`, operand i is a batch: it has one more axis in front, of one size for all; so has the
result. At least one operand is a batch. What is here serves many ops; none is named, so that any
record may use it. Operands are nodes, recorded values or arrays: their methods are what they share.

    elementwise : derived for every op that works element by element
    along_axis : for ops with an attribute `axis`, a number or several
    over_stacks : for ops on matrices, that take leading axes by themselves
    one_by_one : for any op: right, and slow
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodiff.apply import apply
from autodiff.op import OPS, BatchedRule, BoundOp, Op

__all__ = [
    "all_batches",
    "along_axis",
    "batch_rule",
    "elementwise",
    "one_by_one",
    "over_stacks",
    "size_of_batch",
    "widened",
]


def batch_rule(op: Op) -> BatchedRule:
    """The rule of `op`: its own, or one that serves ops like it."""
    if op.batched is not None:
        return op.batched
    return elementwise if op.elementwise else one_by_one


def size_of_batch(operands: Sequence[Any], carries: Sequence[bool]) -> int:
    """How many elements the batch has."""
    return next(x.shape[0] for x, c in zip(operands, carries, strict=True) if c)  # type: ignore[no-any-return]


def elementwise(bound: BoundOp, operands: Sequence[Any], carries: Sequence[bool]) -> Any:
    """Operands broadcast, once the axis in front stands before as many axes in each of them."""
    ranks = [len(x.shape) - c for x, c in zip(operands, carries, strict=True)]
    most = max(ranks)
    aligned = [
        widened(x, most - rank) if c and rank < most else x
        for x, c, rank in zip(operands, carries, ranks, strict=True)
    ]
    return apply(bound.op, aligned, bound.attributes)


def along_axis(bound: BoundOp, operands: Sequence[Any], carries: Sequence[bool]) -> Any:
    """All axes count one more. Operands that are no batch are repeated."""
    axis = bound.attributes["axis"]
    moved = tuple([a + 1 for a in axis]) if isinstance(axis, tuple) else axis + 1
    batches = all_batches(operands, carries)
    return apply(bound.op, batches, {**bound.attributes, "axis": moved})


def over_stacks(*cores: int, broadcast: bool = True) -> BatchedRule:
    """The rule of an op on matrices in stacks: the batch is one more leading axis.

    cores : how many axes at the end of each operand are no leading ones: 2 of a matrix.
    broadcast : whether the leading axes of operands broadcast; else operands are repeated.
    """

    def rule(bound: BoundOp, operands: Sequence[Any], carries: Sequence[bool]) -> Any:
        if not broadcast:
            return apply(bound.op, all_batches(operands, carries), bound.attributes)
        n_leading = [
            len(x.shape) - c - core for x, c, core in zip(operands, carries, cores, strict=True)
        ]
        most = max(n_leading)
        aligned = [
            widened(x, most - n) if c and n < most else x
            for x, c, n in zip(operands, carries, n_leading, strict=True)
        ]
        return apply(bound.op, aligned, bound.attributes)

    return rule


def one_by_one(bound: BoundOp, operands: Sequence[Any], carries: Sequence[bool]) -> Any:
    """The op on each element, and the results side by side."""
    n = size_of_batch(operands, carries)
    if n == 0:
        return _of_none(bound, operands, carries)
    found = [
        apply(
            bound.op,
            [x[i] if c else x for x, c in zip(operands, carries, strict=True)],
            bound.attributes,
        )
        for i in range(n)
    ]
    if bound.op.several:
        return tuple([_side_by_side(parts) for parts in zip(*found, strict=True)])
    return _side_by_side(found)


def all_batches(operands: Sequence[Any], carries: Sequence[bool]) -> list[Any]:
    """The operands, those that are no batch repeated, so that all are."""
    if all(carries):
        return list(operands)
    n = size_of_batch(operands, carries)
    return [
        x if c else apply(OPS["broadcast_to"], [x], {"shape": (n, *x.shape)})
        for x, c in zip(operands, carries, strict=True)
    ]


def widened(x: Any, n_axes: int) -> Any:
    """`x` with so many axes of size 1 behind the first."""
    return x.reshape((x.shape[0], *(1,) * n_axes, *x.shape[1:]))


def _of_none(bound: BoundOp, operands: Sequence[Any], carries: Sequence[bool]) -> Any:
    """The results for a batch without elements: such as a part of an operand, in other shapes."""
    empty = next(x for x, c in zip(operands, carries, strict=True) if c)
    shapes = [x.shape[1:] if c else x.shape for x, c in zip(operands, carries, strict=True)]
    shape = bound.shape(*shapes)
    if bound.op.several:
        return tuple([empty.reshape((0, *s)) for s in shape])
    return empty.reshape((0, *shape))


def _side_by_side(parts: Sequence[Any]) -> Any:
    return apply(OPS["concat"], [x.reshape((1, *x.shape)) for x in parts], {"axis": 0})
