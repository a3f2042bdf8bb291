"""How nodes are called: names, of which no two living nodes have the same, and their numbers."""

from __future__ import annotations

import math
import weakref
from typing import Any, Protocol

import numpy as np

from autodiff.graph.unfinished import let_functions_go

__all__ = ["register_name", "summary"]


class Numbered(Protocol):
    """What can have a name: it has a number that no other has."""

    serial: int


_named: weakref.WeakValueDictionary[str, Numbered] = weakref.WeakValueDictionary()


def register_name(node: Numbered, name: str) -> str:
    """`name`, made unique by the node's number if a living node has it."""
    let_functions_go()  # what they hold may have this name
    name = name.replace("#", "_")  # '#' marks the numbers that make names unique
    if _named.setdefault(name, node) is not node:
        name = f"{name}#{node.serial}"
    return name


def summary(value: Any) -> str:
    """The numbers of an array in a few characters, for `repr`."""
    if isinstance(value, tuple):
        return "; ".join(map(summary, value))
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size == 1:
        return f"{value.reshape(()):.6g}"
    if math.prod(value.shape) == 0:
        return "[]"
    return f"{value.min():.4g} ... {value.max():.4g}"
