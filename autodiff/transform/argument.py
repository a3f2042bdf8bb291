"""What a transformed function is called with, and in which form its results come back.

The function never sees the caller's own node: it is given an *alias* of it, a new node of the same
value. Otherwise a function that reads the same node in another way, as a closure, would have that
counted, too. In place of arrays it is given fresh tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autodiff.array import as_float64, is_float64, is_operand
from autodiff.errors import DTypeError, GradientError, ShapeError
from autodiff.graph.clock import ticks
from autodiff.graph.differentiate import depends_on_older
from autodiff.graph.node import Node, Tensor, lift
from autodiff.graph.observer import current_observer, here
from autodiff.ops.alias import alias
from autodiff.ops.arguments import brief, several, whole_number
from autodiff.program.structure import Leaf, Static, Structure, flatten, rebuild
from autodiff.refusal import refusal

__all__ = ["Call", "fresh", "name_of", "numbered", "numbers_of"]


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called in messages."""
    return getattr(function, "__name__", None) or repr(function)


def numbered(what: str, argnums: Any) -> tuple[tuple[int, ...], bool]:
    """The numbers of the arguments to differentiate by, and whether it is one alone; TypeError."""
    number = whole_number(argnums)
    if number is not None:
        return (number,), True
    items = several(argnums)
    numbers = () if items is None else tuple([whole_number(n) for n in items])
    if not numbers or None in numbers:
        raise TypeError(f"{what}: argnums is a number or a tuple of numbers, not {brief(argnums)}")
    return numbers, False  # type: ignore[return-value]


def fresh(x: Any) -> Tensor:
    """A new tensor that holds `x`, an array or a recorded value; in a recording, one of its own."""
    observer = current_observer()
    if observer is not None and observer.home is not None:
        x = observer.home.recorded(x)
    return Tensor(x)


class Call:
    """One call of a function, some of its arguments replaced by nodes to differentiate by.

    what : the transform and the function, for messages.
    arguments : what the function is to be called with.
    leaves : the nodes that stand for the arrays in the arguments `argnums`, in order.
    since : the number of the first node of the call; what needs a gradient and is older comes from
        outside.
    gives_nodes : whether the results are nodes, since nodes were among those arrays.
    """

    __slots__ = ("_alone", "_structures", "arguments", "gives_nodes", "leaves", "since", "what")

    def __init__(
        self, what: str, arguments: Sequence[Any], argnums: tuple[int, ...], alone: bool = True
    ) -> None:
        self.what = what
        self.since = next(ticks)
        self.arguments = list(arguments)
        self.leaves: list[Node] = []
        self.gives_nodes = False
        self._alone = alone
        if alone and len(arguments) > (i := argnums[0]) >= 0 and is_float64(x := arguments[i]):
            self.arguments[i] = leaf = fresh(x)  # the usual case
            self.leaves.append(leaf)
            self._structures: list[Structure] = [Leaf(x.shape)]
        else:
            self._structures = [self._replace(i) for i in argnums]

    def _replace(self, number: int) -> Structure:
        n = len(self.arguments)
        if not -n <= number < n:
            raise TypeError(
                f"{self.what}: there is no argument {number} to differentiate by: {n} are given by "
                "position; arguments that are given by name are held constant"
            )
        found: list[Any] = []
        what = f"{self.what}: argument {number}"
        structure = flatten(self.arguments[number], what, _operand, found)
        if isinstance(structure, Static):
            raise DTypeError(
                f"{what} is {brief(structure.value)}, no array of numbers to differentiate by"
            )
        nodes = [self._enter(x) for x in found]
        self.leaves += nodes
        self.arguments[number] = rebuild(structure, iter(nodes))
        return structure

    def _enter(self, x: Any) -> Node:
        if not isinstance(x, Node):
            return fresh(x)
        self.gives_nodes = True
        twin: Node = alias(x)
        twin.needs_gradient = True  # of a constant, too: the gradient just goes no further
        return twin

    def like_leaves(self, tree: Any, what: str) -> list[Any]:
        """The arrays in `tree`, which has the structure and shapes of what is differentiated by.

        Raises ShapeError if it has not.
        """
        given = (tree,) if self._alone else tree
        if not isinstance(given, (tuple, list)) or len(given) != len(self._structures):
            raise TypeError(
                f"{self.what}: {what} must be a tuple of {len(self._structures)}, one for each "
                f"argument, not {brief(tree)}"
            )
        found: list[Any] = []
        for i, (x, structure) in enumerate(zip(given, self._structures, strict=True)):
            name = what if self._alone else f"{what}[{i}]"
            have = flatten(x, f"{self.what}: {name}", _operand, found)
            if have != structure:
                raise refusal(
                    ShapeError,
                    f"{self.what}: {name} must be like the argument, {structure!r}, not {have!r}",
                )
        self.gives_nodes = self.gives_nodes or any(isinstance(x, Node) for x in found)
        return found

    # ---- results ----------------------------------------------------------------------

    def output(self, y: Any) -> Any:
        """What the function has returned, where one node or array is expected."""
        if is_operand(y):
            return here(y) if isinstance(y, Node) else y
        if y is None or isinstance(y, (str, bytes, dict)):
            raise GradientError(
                f"{self.what}: the function returned {brief(y)}; it must return one array or node"
                + ("" if y is not None else "; is a `return` missing?")
            )
        try:
            return as_float64(y, f"{self.what}: what the function returned")
        except DTypeError as error:
            raise DTypeError(
                f"{error}; return one array (join several by autodiff.stack or autodiff.concat), "
                "and other results by has_aux=True"
            ) from None

    def require_number(self, y: Any) -> None:
        """Raise ShapeError if y, what the function has returned, is not of one element."""
        if math.prod(y.shape) != 1:
            raise refusal(
                ShapeError,
                f"{self.what}: it must return one number, but returned shape {y.shape}; give its "
                "sum, or use autodiff.jacobian or autodiff.elementwise_grad",
                y=y,
            )

    def shaped(self, found: Sequence[Any]) -> Any:
        """One result for each leaf as one for each argument, in its structure."""
        if self._alone and type(self._structures[0]) is Leaf:
            return found[0]
        rest: Iterator[Any] = iter(found)
        results = [rebuild(structure, rest) for structure in self._structures]
        return results[0] if self._alone else tuple(results)

    def leave(self, x: Any) -> Any:
        """A result as the caller has it: of nodes a node, of arrays an array.

        It stays a node if it depends on nodes from outside that need gradients, which an array of
        its numbers would lose. A recorded value is to a step what an array is outside.
        """
        if self.gives_nodes:
            return lift(x)
        if not isinstance(x, Node) or depends_on_older(x, self.since):
            return x
        return numbers_of(x)

    def leave_all(self, tree: Any) -> Any:
        """The same for all nodes in a nesting of containers; other things are as they are."""
        if isinstance(tree, Node):
            return self.leave(tree)
        found: list[Any] = []
        try:
            structure = flatten(tree, self.what, _anything, found, lists=True)
        except DTypeError:
            return tree
        if not any(isinstance(x, Node) for x in found):
            return tree
        return rebuild(structure, iter([self.leave(x) for x in found]))


def _anything(leaf: Any, what: str) -> Any:
    return leaf


def _operand(leaf: Any, what: str) -> Any:
    return leaf if is_operand(leaf) else as_float64(leaf, what)


def numbers_of(node: Any) -> Any:
    """The value of a node as an array that is the caller's own; in a recording as it is there."""
    value = node.value
    return np.array(value) if isinstance(value, np.ndarray) else value
