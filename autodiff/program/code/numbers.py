"""Windows of numbers: what an operand of an instruction refers to when NumPy executes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from autodiff.array import Array
from autodiff.program.code.flat import Operand, Region

__all__ = ["Spaces", "run_region", "window"]


class Spaces(list[Array]):
    """The memories of code, and the functions that its instructions call."""

    def __init__(self, memories: Iterable[Array], functions: Sequence[Any]) -> None:
        super().__init__(memories)
        self.functions = functions


def window(
    spaces: Sequence[Array],
    place: Operand,
    shape: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Array:
    """The numbers where an operand says; its own strides, or one row after the other."""
    space, offset = place
    if strides is None:
        size = int(np.prod(shape, dtype=np.intp))
        return spaces[space][offset : offset + size].reshape(shape)
    return as_strided(spaces[space][offset:], tuple(shape), tuple(8 * s for s in strides))


def run_region(region: Region, spaces: Sequence[Array], arguments: Sequence[Array]) -> list[Array]:
    """The results of code that an instruction owns, once, for these arguments; they are fresh.

    spaces : of the code around it.
    """
    inner = [np.full(region.arena_size, np.nan), *(np.asarray(a).reshape(-1) for a in arguments)]
    inner += [spaces[space] for space in region.buffers]
    inner = Spaces(inner, getattr(spaces, "functions", ()))
    for instruction in region.instructions:
        instruction.emulate(inner)
    return [np.array(window(inner, place, shape)) for place, shape in region.results]
