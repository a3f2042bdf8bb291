"""Nested containers as one vector, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.array import is_operand
from autodiff.autograd.trees import Tree, flat, like
from autodiff.ops.parts import concat
from autodiff.ops.shape import reshape

__all__ = ["flatten", "flatten_func"]


def flatten(value: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All numbers of nested tuples, lists and dictionaries as one vector, and the way back.

    Dictionaries are taken by their keys in order. The vector is a node if there is
    a node among them.
    """
    leaves: list[Any] = []
    tree = flat(value, leaves)
    order = _order(tree, iter(range(len(leaves))))
    parts = [leaves[i] if is_operand(leaves[i]) else np.asarray(leaves[i]) for i in order]
    shapes = [x.shape for x in parts]
    sizes = [int(np.prod(shape)) for shape in shapes]

    def unflatten(vector: Any) -> Any:
        found: list[Any] = [None] * len(leaves)
        start = 0
        for i, shape, size in zip(order, shapes, sizes, strict=True):
            part = vector[start : start + size]
            start += size
            if is_operand(part):
                found[i] = reshape(part, shape)
            else:
                found[i] = like(leaves[i], np.array(part).reshape(shape))
        return tree.rebuilt(iter(found))

    if not any(map(is_operand, parts)):
        vector: Any = np.concatenate([np.ravel(x) for x in parts]) if parts else np.array([])
    else:
        flats = [reshape(x, (-1,)) if x.size else np.zeros(0) for x in parts]
        vector = concat(flats, 0)
    return vector, unflatten


def _order(tree: Tree, numbers: Any) -> list[int]:
    """The numbers of the leaves, in the order in which they are joined."""
    if tree.kind is None:
        return [next(numbers)]
    parts = [_order(part, numbers) for part in tree.parts]
    if issubclass(tree.kind, dict):
        parts = [part for _, part in sorted(zip(tree.names, parts, strict=True))]
    return [i for part in parts for i in part]


def flatten_func(func: Callable[..., Any], example: Any) -> tuple[Any, Any, Any]:
    """`func` as one of vectors, the way back from a vector, and `example` as one."""
    vector, unflatten = flatten(example)

    def of_vector(x: Any, *args: Any) -> Any:
        return flatten(func(unflatten(x), *args))[0]

    return of_vector, unflatten, vector
