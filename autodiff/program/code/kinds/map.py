"""Kind `map`: elementwise ops of one shape, applied block by block in one pass over the data."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from autodiff.program.code.kind import Kind, Operand, instruction_kind

__all__ = ["Apply", "Map", "Window"]


class Window(NamedTuple):
    """An operand with a stride for each axis.

    padded : an output in the arena that may be overwritten up to the next multiple of eight.
    """

    place: Operand
    strides: tuple[int, ...]
    padded: bool = False


class Apply(NamedTuple):
    """One op; n >= 0 is window n, n < 0 is register ~n. power's exponent is its last input."""

    op: str
    inputs: tuple[int, ...]
    output: int


@instruction_kind
class Map(Kind):
    """Ops applied to windows and registers, up to four axes.

    Windows overlap only if they are the same; what was written is read by the same number.

    cost : of all applications for one element, in additions: large maps are cut into parts by it.
    """

    name: ClassVar[str] = "map"
    elementwise: ClassVar[bool] = True

    shape: tuple[int, ...]
    windows: tuple[Window, ...]
    applications: tuple[Apply, ...]
    cost: float
