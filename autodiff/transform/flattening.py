"""Nestings of arrays as one vector, and back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.array import as_float64, is_operand
from autodiff.errors import ShapeError
from autodiff.ops.arguments import operand
from autodiff.ops.parts import concat
from autodiff.ops.shape import reshape
from autodiff.program.structure import flatten as flattened
from autodiff.program.structure import rebuild, shapes_of
from autodiff.refusal import refusal

__all__ = ["flatten"]


def flatten(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All numbers in a nesting as one vector, and the function that makes the nesting of a vector.

    Parameters
    ----------
    tree : any nesting of tuples, lists, dictionaries and data classes of arrays, numbers and nodes.
        The order is that in which they are met; None, strings and bools stay what they are.

    Returns
    -------
    vector : array of shape (n,); a node if there are nodes in the tree. Gradients go through.
    unflatten : takes an array or a node of that shape, and gives a tree like the one given.

    Raises
    ------
    ShapeError
        By unflatten, if the vector has another shape.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> vector, unflatten = autodiff.flatten({"w": np.ones((2, 2)), "b": 3.0})
    >>> vector
    array([1., 1., 1., 1., 3.])
    >>> unflatten(2.0 * vector)["b"]
    array(6.)
    """
    found: list[Any] = []
    structure = flattened(tree, "flatten", _operand, found)
    shapes = list(shapes_of(structure))
    cuts = [0, *itertools.accumulate(map(math.prod, shapes))]

    def unflatten(vector: Any) -> Any:
        vector = operand("unflatten", vector, "the vector")
        if vector.shape != (cuts[-1],):
            raise refusal(
                ShapeError,
                f"unflatten: the vector has shape {vector.shape}, the tree {(cuts[-1],)}",
                vector=vector,
            )
        plain = not is_operand(vector)
        leaves = []
        for shape, (start, stop) in zip(shapes, itertools.pairwise(cuts), strict=True):
            part = reshape(vector[start:stop], shape)
            leaves.append(np.array(part) if plain else part)
        return rebuild(structure, iter(leaves))

    if any(map(is_operand, found)):
        return concat([reshape(x, -1) for x in found], 0), unflatten
    return np.concatenate([np.ravel(x) for x in found] or [np.zeros(0)]), unflatten


def _operand(leaf: Any, what: str) -> Any:
    return leaf if is_operand(leaf) else as_float64(leaf, what)
