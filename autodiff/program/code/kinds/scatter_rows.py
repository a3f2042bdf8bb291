"""Kind `scatter_rows`: rows added onto a table of zeros, by number."""

from __future__ import annotations

from typing import ClassVar

from autodiff.program.code.kind import Kind, Operand, instruction_kind

__all__ = ["ScatterRows"]


@instruction_kind
class ScatterRows(Kind):
    """z = 0, then z[rows[i]] += x[i] for i < n; z has `n_rows` rows of `row_size` numbers."""

    name: ClassVar[str] = "scatter_rows"
    ops: ClassVar[tuple[str, ...]] = ("scatter_rows",)
    can_fail: ClassVar[bool] = True

    n_rows: int
    row_size: int
    n: int
    x: Operand
    rows: Operand
    z: Operand
