"""Small helpers that programs on HIPS autograd import from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["func", "subval", "subvals"]


def subvals(x: Iterable[Any], pairs: Iterable[tuple[int, Any]]) -> tuple[Any, ...]:
    """x as a tuple, with the values of `pairs` in place of those at their positions."""
    items = list(x)
    for i, value in pairs:
        items[i] = value
    return tuple(items)


def subval(x: Iterable[Any], i: int, value: Any) -> tuple[Any, ...]:
    """x as a tuple, with `value` in place of item i."""
    return subvals(x, [(i, value)])


def func(f: Any) -> Any:
    """The function itself."""
    return f
