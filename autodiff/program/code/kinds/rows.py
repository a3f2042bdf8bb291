"""Kind `rows`: the softmax family, along rows."""

from __future__ import annotations

from typing import ClassVar

from autodiff.program.code.kind import Kind, Operand, instruction_kind

__all__ = ["Rows"]


@instruction_kind
class Rows(Kind):
    """Each of `n_rows` rows of `n` numbers to a row of as many, or (logsumexp) to one number."""

    name: ClassVar[str] = "rows"
    ops: ClassVar[tuple[str, ...]] = ("logsumexp", "softmax", "log_softmax")

    op: str
    n_rows: int
    n: int
    x: Operand
    z: Operand
