"""Arguments and results: any nesting of tuples, lists and dictionaries, taken apart and rebuilt.

A list of numbers stays a list, as HIPS autograd has it; and whether a leaf was a number or an array
without axes is kept, so that gradients of numbers are numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from autodiff.array import is_operand

__all__ = ["Tree", "flat", "is_leaf", "like", "scalar"]


class Tree:
    """How a value is nested. size : how many leaves it has."""

    __slots__ = ("kind", "names", "parts", "size")

    def __init__(
        self, kind: Any = None, parts: tuple[Tree, ...] = (), names: tuple[Any, ...] = ()
    ) -> None:
        self.kind, self.parts, self.names = kind, parts, names
        self.size: int = sum(part.size for part in parts) if kind is not None else 1

    def rebuilt(self, leaves: Iterator[Any]) -> Any:
        """A value nested in this way, of the next leaves."""
        if self.kind is None:
            return next(leaves)
        items = [part.rebuilt(leaves) for part in self.parts]
        if issubclass(self.kind, dict):
            return self.kind(zip(self.names, items, strict=True))
        return self.kind(*items) if hasattr(self.kind, "_fields") else self.kind(items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and (self.kind, self.names, self.parts) == (
            other.kind,
            other.names,
            other.parts,
        )

    __hash__ = None  # type: ignore[assignment]


LEAF = Tree()


def flat(value: Any, leaves: list[Any]) -> Tree:
    """How `value` is nested; its leaves are appended to `leaves`."""
    kind = type(value)
    if kind is np.ndarray or is_operand(value):
        leaves.append(value)
        return LEAF
    if isinstance(value, (tuple, list)):
        return Tree(kind, tuple([flat(x, leaves) for x in value]))
    if isinstance(value, dict):
        names = tuple(value)
        return Tree(kind, tuple([flat(value[name], leaves) for name in names]), names)
    leaves.append(value)
    return LEAF


def is_leaf(value: Any) -> bool:
    """Whether it is no container."""
    return not isinstance(value, (tuple, list, dict))


def scalar(x: Any) -> Any:
    """The numbers of a node, as NumPy has them; other things as they are."""
    if not is_operand(x):
        return x
    value = x.value
    return np.array(value)[()] if isinstance(value, np.ndarray) else value


def like(given: Any, found: Any) -> Any:
    """`found` as a number if `given` was one, and not an array without axes; in its float type."""
    if not isinstance(found, np.ndarray):
        return found
    kind = getattr(given, "dtype", None)
    if kind is not None and kind.kind == "f" and kind != found.dtype:
        found = found.astype(kind)
    return found[()] if found.ndim == 0 and not isinstance(given, np.ndarray) else found
