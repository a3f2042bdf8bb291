"""Kind `reduce`: sums and maxima over neighbouring axes."""

from __future__ import annotations

from typing import ClassVar

from autodiff.program.code.kind import Kind, Operand, instruction_kind

__all__ = ["Reduce"]


@instruction_kind
class Reduce(Kind):
    """x[outer, reduced, inner] to z[outer, inner]. op : "sum" or "max"."""

    name: ClassVar[str] = "reduce"
    ops: ClassVar[tuple[str, ...]] = ("sum", "max")
    composed: ClassVar[tuple[str, ...]] = ("mean",)

    op: str
    outer: int
    reduced: int
    inner: int
    x: Operand
    z: Operand
