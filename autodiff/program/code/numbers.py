"""Windows of numbers: what an operand of an instruction refers to when NumPy executes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from autodiff.array import Array
from autodiff.program.code.flat import Operand

__all__ = ["window"]


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
