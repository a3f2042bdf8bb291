"""Kind `take`: rows of a table, by number."""

from __future__ import annotations

from typing import ClassVar

from autodiff.program.code.kind import Kind, Operand, instruction_kind

__all__ = ["Take"]


@instruction_kind
class Take(Kind):
    """z[i] = x[rows[i]] for i < n; x has `n_rows` rows of `row_size` numbers."""

    name: ClassVar[str] = "take"
    ops: ClassVar[tuple[str, ...]] = ("take",)
    can_fail: ClassVar[bool] = True

    n_rows: int
    row_size: int
    n: int
    x: Operand
    rows: Operand
    z: Operand
