"""NumPy's objects that join what stands in brackets: ``r_[x, 1.0]``, ``c_[x, y]``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.declare import NAMES
from autodiff.errors import ShapeError
from autodiff.ops.parts import concat
from autodiff.ops.shape import reshape
from autodiff.refusal import refusal
from autodiff.served import holds_operand

__all__ = ["c_", "r_"]


class Joining:
    """``joining[x, y, 0:3]`` is one node if there is a node among them, else NumPy's array."""

    def __init__(self, theirs: Any, shaped: Callable[[Any], Any], axis: int) -> None:
        self.theirs, self.shaped, self.axis = theirs, shaped, axis
        self.__doc__ = theirs.__doc__

    def __getitem__(self, key: Any) -> Any:
        items = key if isinstance(key, tuple) else (key,)
        if not holds_operand(items):
            return self.theirs[key]
        parts = [self.shaped(self._part(item)) for item in items]
        return concat(parts, self.axis) if len(parts) > 1 else parts[0]

    def __len__(self) -> int:
        return 0

    def _part(self, item: Any) -> Any:
        if isinstance(item, str):
            raise refusal(ShapeError, f"r_ and c_ of nodes take no directives, as {item!r}")
        if isinstance(item, slice):
            return np.r_[item]
        return NAMES["numpy.array"](item) if holds_operand([item]) else np.asarray(item)


def _row(x: Any) -> Any:
    return x if np.ndim(x) else reshape(x, (1,))


def _column(x: Any) -> Any:
    return x if np.ndim(x) > 1 else reshape(x, (-1, 1))


r_ = Joining(np.r_, _row, 0)
c_ = Joining(np.c_, _column, -1)
