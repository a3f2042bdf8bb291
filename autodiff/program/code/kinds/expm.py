"""Kind `expm`: the exponential of each matrix of a stack."""

from __future__ import annotations

from typing import ClassVar

from autodiff.program.code.kind import Operand, instruction_kind
from autodiff.program.code.stack import OfStack

__all__ = ["Expm"]


@instruction_kind
class Expm(OfStack):
    """z = exp(a)."""

    name: ClassVar[str] = "expm"
    ops: ClassVar[tuple[str, ...]] = ("expm",)

    a: Operand
    z: Operand
