"""Kind `copy`: elements moved from one window to another, row by row."""

from __future__ import annotations

from typing import ClassVar

from autodiff.program.code.kind import Kind, Operand, instruction_kind

__all__ = ["Copy"]


@instruction_kind
class Copy(Kind):
    """z = x, up to four axes; z and x do not overlap. Faster than a map where there are rows."""

    name: ClassVar[str] = "copy"
    ops: ClassVar[tuple[str, ...]] = ("scatter_slice",)

    shape: tuple[int, ...]
    x: Operand
    x_strides: tuple[int, ...]
    z: Operand
    z_strides: tuple[int, ...]
