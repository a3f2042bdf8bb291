"""Examples that ops share."""

from __future__ import annotations

from autodiff.op import Example, Sample

__all__ = ["binary", "unary"]


def unary(low: float = -2.0, high: float = 2.0, kind: str = "real") -> list[Example]:
    """Of one operand, with numbers from low to high; see :class:`autodiff.op.Sample`."""
    return [Example((Sample(shape, low, high, kind),)) for shape in [(3, 4), (5,), ()]]


def binary(low: float = -2.0, high: float = 2.0, kind: str = "real") -> list[Example]:
    """Of two operands that broadcast; low and high are the second one's."""
    shapes = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 3), ())]
    return [Example((Sample(x, -2.0, 2.0, kind), Sample(y, low, high, kind))) for x, y in shapes]
