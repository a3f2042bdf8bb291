"""vmap: a function of one element, applied to all elements of a batch at once.

The function is called once, with placeholders that have the shape of one element and no numbers. So
it cannot branch on the numbers of one element and be wrong for the others. The graph that it builds
is then computed for the whole batch (:mod:`autodiff.transform.batching`); gradients, Jacobians and
other batches within it are graph like the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autodiff.array import as_float64, is_operand
from autodiff.errors import GradientError, ShapeError, UnassignedError
from autodiff.graph.clock import ticks
from autodiff.graph.differentiate import depends_on_older
from autodiff.graph.node import Node, lift
from autodiff.ops.arguments import axis_of, brief, whole_number
from autodiff.ops.shape import transpose
from autodiff.program.structure import Group, Leaf, Static, Structure, flatten, rebuild
from autodiff.refusal import refusal
from autodiff.transform.argument import name_of, numbers_of
from autodiff.transform.batching import batched, one_of_each, placeholder
from autodiff.transform.gradient import transformed

__all__ = ["vmap"]

Function = Callable[..., Any]


def vmap(f: Function, in_axes: Any = 0, out_axes: Any = 0) -> Function:
    """f for every element of a batch: a function of the same arguments, with one more axis.

    ``vmap(f)(xs)`` is ``stack([f(x) for x in xs])``, computed at once: f is called once, with nodes
    that have the shape of one element and no numbers. Each op then works on the whole batch, by its
    batch rule; an op of your own that has none is computed element by element.

    Parameters
    ----------
    f : takes arrays or nestings of them, and returns the like. It must not ask for numbers, as a
        branch on them does: choose by ``autodiff.where``.
    in_axes : for each argument, which of its axes counts the elements; None: it is the same for all
        elements. One number for all arguments, or a tuple or list with one for each; for a nesting
        a number, or a nesting of numbers of the same structure. Arguments given by name are mapped
        over their first axis.
    out_axes : where that axis is to be in the results: a number, or a nesting as f returns it.

    Returns
    -------
    A function. Its results are arrays, recorded values or nodes, as for :func:`grad`.

    Raises
    ------
    ShapeError
        When called, if the axes differ in size, an argument has not got its axis, or nothing is
        mapped.
    GradientError
        If f asks for numbers.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> a = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> autodiff.vmap(lambda x, y: x @ y, in_axes=(0, None))(a, np.array([1.0, 10.0]))
    array([21., 43.])
    >>> autodiff.vmap(autodiff.grad(lambda x: (x**3.0).sum()))(a)
    array([[ 3., 12.],
           [27., 48.]])
    """
    what = f"vmap of {name_of(f)}"

    def mapped(*arguments: Any, **named: Any) -> Any:
        batch = _Batch(what)
        axes = _of_arguments(what, in_axes, len(arguments))
        placed = [
            batch.place(x, a, f"argument {i}")
            for i, (x, a) in enumerate(zip(arguments, axes, strict=True))
        ]
        named = {name: batch.place(x, 0, f"argument {name!r}") for name, x in named.items()}
        batch.check()
        try:
            returned = f(*placed, **named)
            return batch.results(returned, out_axes)
        except UnassignedError as error:
            if any(x.describe() in str(error) for x in batch.batches):
                raise batch.asked_for_numbers() from error
            raise

    return transformed("vmap", f, mapped)


def _of_arguments(what: str, in_axes: Any, n: int) -> Sequence[Any]:
    if in_axes is None or whole_number(in_axes) is not None or isinstance(in_axes, dict):
        return [in_axes] * n
    if not isinstance(in_axes, (tuple, list)) or len(in_axes) != n:
        raise TypeError(
            f"{what}: in_axes is a number, None, or one of these for each of the {n} arguments, "
            f"not {brief(in_axes)}"
        )
    return in_axes


class _Batch:
    """One call: the placeholders of the elements, and the batches that they stand for."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.since = next(ticks)
        self.size: int | None = None
        self.told_by = ""
        self.batches: dict[Node, Any] = {}
        self.gives_nodes = False

    def place(self, tree: Any, axes: Any, name: str) -> Any:
        """An argument with placeholders in place of what is mapped."""
        found: list[Any] = []
        structure = flatten(tree, f"{self.what}: {name}", _operand, found)
        numbers = iter(_spread(self.what, axes, structure, "in_axes"))
        return rebuild(structure, iter([self._element(x, next(numbers), name) for x in found]))

    def _element(self, x: Any, axis: Any, name: str) -> Any:
        if axis is None:
            return x
        if not x.shape:
            raise refusal(
                ShapeError,
                f"{self.what}: {name} has shape (), and no axis to map over; in_axes=None says "
                "that it is the same for all elements",
                x=x,
            )
        at = axis_of(self.what, x, axis)
        n = x.shape[at]
        if self.size is None:
            self.size, self.told_by = n, name
        elif n != self.size:
            raise refusal(
                ShapeError,
                f"{self.what}: {name} has {n} elements along its axis {axis}, but {self.told_by} "
                f"has {self.size}",
                x=x,
            )
        self.gives_nodes = self.gives_nodes or isinstance(x, Node)
        element = placeholder(x.shape[:at] + x.shape[at + 1 :])
        self.batches[element] = _moved(lift(x), at, 0)
        return element

    def check(self) -> None:
        """Raise ShapeError if nothing is mapped."""
        if self.size is None:
            raise ShapeError(f"{self.what}: in_axes maps no argument, so that there is no batch")

    def asked_for_numbers(self) -> Exception:
        """The error of who has asked a placeholder for numbers."""
        return refusal(
            GradientError,
            f"{self.what}: the function asked for the numbers of one element, but it is called "
            "once for all elements; choose by autodiff.where instead of `if`, and use no .value",
        )

    def results(self, returned: Any, out_axes: Any) -> Any:
        """What f returns for one element, for all of them."""
        assert self.size is not None
        found: list[Any] = []
        structure = flatten(returned, f"{self.what}: the result", _operand, found, lists=True)
        axes = _spread(self.what, out_axes, structure, "out_axes")
        nodes = [lift(x) for x in found]
        pairs = zip(batched(nodes, self.batches), axes, strict=True)
        leaves = [self._result(y, carried, axis) for (y, carried), axis in pairs]
        return rebuild(structure, iter(leaves))

    def _result(self, y: Any, carried: bool, axis: Any) -> Any:
        if axis is None:
            if carried:
                raise refusal(
                    ShapeError,
                    f"{self.what}: out_axes is None, but the result differs between elements",
                    y=y,
                )
        else:
            y = one_of_each(y, carried, self.size or 0)
            y = _moved(y, 0, axis_of(self.what, y, axis))
        return y if self.gives_nodes or depends_on_older(y, self.since) else numbers_of(y)


def _operand(leaf: Any, what: str) -> Any:
    return leaf if is_operand(leaf) else as_float64(leaf, what)


def _moved(x: Any, source: int, target: int) -> Any:
    order = [i for i in range(len(x.shape)) if i != source]
    order.insert(target, source)
    return transpose(x, order)


def _spread(what: str, axes: Any, structure: Structure, name: str) -> list[Any]:
    """One axis for each array of a structure, from one for all or a nesting of the same kind."""
    if axes is None or whole_number(axes) is not None:
        return [axes] * _count(structure)
    if isinstance(structure, Group):
        names = structure.names
        if isinstance(axes, dict) and names is not None:
            parts = [axes.get(x.value, _MISSING) for x in names]
        elif isinstance(axes, (tuple, list)) and len(axes) == len(structure.parts):
            parts = list(axes)
        else:
            parts = [_MISSING]
        if _MISSING not in parts:
            pairs = zip(parts, structure.parts, strict=True)
            return [axis for part, inner in pairs for axis in _spread(what, part, inner, name)]
    raise TypeError(f"{what}: {name} {brief(axes)} does not fit the structure {structure!r}")


_MISSING = object()


def _count(structure: Structure) -> int:
    if isinstance(structure, Leaf):
        return 1
    return 0 if isinstance(structure, Static) else sum(map(_count, structure.parts))
