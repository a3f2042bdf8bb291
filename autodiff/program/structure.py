"""Arguments and results of a step: any nesting of tuples, lists and dicts, flattened.

A structure is a hashable description of the nesting in which every leaf that is an array or
a number is its shape, and every other leaf (None, a string, a bool) is itself. A list of
numbers is an array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from autodiff.array import Array, as_float64

__all__ = ["Structure", "flatten", "map_leaves", "rebuild"]

Structure = Any


class Leaf:
    """Stands for an array in a structure."""

    __slots__ = ("shape",)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Leaf) and other.shape == self.shape

    def __hash__(self) -> int:
        return hash(self.shape)

    def __repr__(self) -> str:
        return f"array{list(self.shape)}"


def flatten(tree: Any, what: str, leaves: list[Array]) -> Structure:
    """The structure of `tree`; its arrays, as float64, are appended to `leaves`.

    Raises
    ------
    DTypeError
        For a leaf that is neither an array of real numbers nor None, a string or a bool.
    """
    if isinstance(tree, tuple):
        parts = tuple(flatten(x, f"{what}[{i}]", leaves) for i, x in enumerate(tree))
        return (type(tree), *parts)
    if isinstance(tree, list) and not _is_numbers(tree):
        return (list, *(flatten(x, f"{what}[{i}]", leaves) for i, x in enumerate(tree)))
    if isinstance(tree, dict):
        keys = tuple(tree)
        return (dict, keys, *(flatten(tree[k], f"{what}[{k!r}]", leaves) for k in keys))
    if tree is None or isinstance(tree, (str, bool)):
        return ("static", tree)
    array = as_float64(tree, what)
    leaves.append(array)
    return Leaf(array.shape)


def _is_numbers(tree: Any) -> bool:
    """Whether `tree` is a list of numbers, or of such lists: an array for NumPy, and here."""
    if isinstance(tree, list):
        return bool(tree) and all(map(_is_numbers, tree))
    return isinstance(tree, (int, float)) and not isinstance(tree, bool)


def map_leaves(tree: Any, function: Callable[[Any], Any]) -> Any:
    """`tree` with `function` applied to all that is not a tuple, list, dict or static."""
    if isinstance(tree, tuple):
        parts = [map_leaves(x, function) for x in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if isinstance(tree, list):
        return [map_leaves(x, function) for x in tree]
    if isinstance(tree, dict):
        return {k: map_leaves(x, function) for k, x in tree.items()}
    if tree is None or isinstance(tree, (str, bool)):
        return tree
    return function(tree)


def rebuild(structure: Structure, leaves: Iterator[Any]) -> Any:
    """The tree of `structure`, its arrays taken from `leaves` in order."""
    if isinstance(structure, Leaf):
        return next(leaves)
    kind, *parts = structure
    if kind == "static":
        return parts[0]
    if kind is dict:
        return {k: rebuild(x, leaves) for k, x in zip(parts[0], parts[1:], strict=True)}
    items = [rebuild(x, leaves) for x in parts]
    if kind is list:
        return items
    return kind(*items) if hasattr(kind, "_fields") else tuple(items)
