"""Boxes of arrays: nodes."""

from __future__ import annotations

from typing import Any

from autodiff.array import is_operand
from autodiff.autograd.tracer import Box

__all__ = ["ArrayBox"]


class _ArrayBoxMeta(type(Box)):  # type: ignore[misc]
    def __instancecheck__(cls, instance: Any) -> bool:
        return is_operand(instance)


class ArrayBox(Box, metaclass=_ArrayBoxMeta):
    """``isinstance(x, ArrayBox)``: x is a node or a recorded value."""
