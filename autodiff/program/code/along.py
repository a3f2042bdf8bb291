"""Axes that are neighbours, as a loop has them: what stands outside of them, they, and inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from autodiff.array import Shape
from autodiff.program.code.kind import Emitter
from autodiff.program.ir import Value

__all__ = ["Around", "around", "axes_last"]


class Around(NamedTuple):
    """x[outer, n, inner], n over the axes."""

    outer: int
    n: int
    inner: int

    @property
    def shape(self) -> Shape:
        """As a shape."""
        return tuple(self)


def around(shape: Shape, axis: int | Sequence[int]) -> Around | None:
    """An array as axes that are neighbours have it; None if they are none.

    Axes of size 1 may lie anywhere.
    """
    wanted = (axis,) if isinstance(axis, int) else axis
    axes = [i for i in wanted if shape[i] != 1]
    if not axes:
        return Around(math.prod(shape), 1, 1)
    first, last = axes[0], axes[-1] + 1
    if any(n != 1 and first <= i < last and i not in axes for i, n in enumerate(shape)):
        return None
    before, within, behind = shape[:first], shape[first:last], shape[last:]
    return Around(math.prod(before), math.prod(within), math.prod(behind))


def axes_last(
    e: Emitter, name: str, axis: Sequence[int], inputs: Sequence[Value], **attributes: Any
) -> tuple[Value, tuple[int, ...]]:
    """An op along axes that are moved to the end; and the order that moves its axes back.

    The inputs have as many axes as the last of them.
    """
    n = len(inputs[-1].shape)
    order = (*(a for a in range(n) if a not in axis), *axis)
    moved = [e.apply("transpose", x, axes=order) for x in inputs]
    last = tuple(range(n - len(axis), n))
    return e.apply(name, *moved, axis=last, **attributes), tuple(order.index(a) for a in range(n))
