"""Gradients as nodes: computed by the same rules, and so differentiable again."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from autodiff.array import is_operand
from autodiff.errors import GradientError, ShapeError
from autodiff.graph.backward import sender_of
from autodiff.graph.forward import executor
from autodiff.graph.node import Hub, Node, Tensor, lift
from autodiff.graph.observer import current_observer, here
from autodiff.graph.order import reached
from autodiff.graph.several import together
from autodiff.graph.walk import walk_back
from autodiff.op import OPS, OUTPUT_OF
from autodiff.ops.arguments import listed, operand
from autodiff.ops.rules import input_gradients
from autodiff.refusal import refusal

__all__ = ["gradient_nodes", "gradient_values", "gradients", "is_own"]


@overload
def gradients(y: Node, xs: Node, seed: Any = None) -> Node: ...


@overload
def gradients(y: Node, xs: Sequence[Node], seed: Any = None) -> list[Node]: ...


def gradients(y: Node, xs: Node | Sequence[Node], seed: Any = None) -> Node | list[Node]:
    """dy/dx for each x, as nodes: they can be computed, and differentiated again.

    The same rules that compute gradients of arrays are applied to nodes.

    Parameters
    ----------
    y : a node; if it has more than one element, the gradient is that of sum(seed · y).
    xs : nodes that y depends on; the gradient of one that it does not depend on is zero.
        For a node alone the result is a node, for a list of nodes a list.
    seed : node or array of y's shape; ones if not given.

    Raises
    ------
    GradientError
        If an x is constant, or no node at all: then y cannot have been computed from it.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.Tensor(3.0)
    >>> first = autodiff.gradients(x * x * x, x)
    >>> (second,) = autodiff.gradients(first, [x])
    >>> first.value, second.value
    (array(27.), array(18.))
    """
    if not isinstance(y, Node):
        raise _no_node("y", y)
    if isinstance(xs, Node):
        return _gradients(y, [xs], seed)[0]
    wanted = None if isinstance(xs, np.ndarray) else listed(xs)
    if wanted is None:
        raise _no_node("x", xs)
    for i, x in enumerate(wanted):
        if not isinstance(x, Node):
            raise _no_node(f"xs[{i}]", x)
    return _gradients(y, wanted, seed)


def _no_node(what: str, x: Any) -> GradientError:
    """The error about an argument that must be a node and is none."""
    known = {what: x} if is_operand(x) else {}
    kind = "a recorded value" if known else f"a {type(x).__name__}"
    do = (
        "compute it from nodes, as autodiff.Tensor(x) is one"
        if what == "y"
        else "make one of it first, x = autodiff.Tensor(x), and compute y from that"
    )
    return refusal(GradientError, f"gradients: {what} is {kind}, no node; {do}", **known)


def _gradients(y: Node, xs: Sequence[Node], seed: Any) -> list[Node]:
    y, xs = here(y), [here(x) for x in xs]
    for x in (y, *xs):
        if isinstance(x, Hub):
            raise refusal(
                GradientError, f"gradients: {x.describe()} computes several values; give one"
            )
    for x in xs:
        if not x.needs_gradient:
            raise refusal(GradientError, f"gradients: {x.describe()} is constant")
    start = lift(np.ones(y.shape) if seed is None else operand("gradients", seed, "the seed"))
    if start.shape != y.shape:
        raise refusal(
            ShapeError, f"gradients: seed has shape {start.shape}, y has shape {y.shape}", y=y
        )
    found = gradient_nodes({y: start}, xs)
    return [Tensor(np.zeros(x.shape), constant=True) if g is None else g for x, g in found]


def gradient_nodes(
    seeds: dict[Node, Any], xs: Sequence[Node], read: Callable[[Node], Any] | None = None
) -> list[tuple[Node, Any]]:
    """Each x with d sum(seed · y) / dx as a node, summed over all y; None: it depends on none.

    seeds : for each y a node of its shape; the dictionary is used up.
    read : what the rules are given for a node, of several outputs a tuple. Seeds, and so gradients,
        may then be something else that takes part in ops.
    """
    order, _ = reached(tuple(seeds))
    leading = _leading(order, xs)

    def gradients_of(node: Node, gradient: Any) -> list[Any]:
        op: Any = node.op
        needed = [w and x in leading for x, w in zip(node.inputs, node.needed, strict=True)]
        if read is not None:
            return input_gradients(op, gradient, read(node), list(map(read, node.inputs)), needed)
        value = _outputs_of(node) if isinstance(node, Hub) else node
        sent = input_gradients(op, gradient, value, node.inputs, needed)
        if op.op is OUTPUT_OF:
            return sent
        return [None if g is None else lift(g) for g in sent]

    walk_back([x for x in order if x in leading], seeds, gradients_of, _sum)
    return [(x, seeds.get(x) if x in leading else None) for x in xs]


def gradient_values(
    seeds: dict[Node, Any], xs: Sequence[Node], backend: Any = None
) -> list[Any] | None:
    """d sum(seed · y) / dx as arrays, or as recorded values in a recording; nodes learn nothing.

    The values of all y must be computed. None instead of a list: some y depends on a node that
    needs a gradient and is no x, so that the gradient is a function of that, too. Within the list
    None: no y depends on that x.

    seeds : for each y an array of its shape, which may be written; the dictionary is used up.
    """
    order, _ = reached(tuple(seeds))
    ends = [x for x in order if True not in x.needed]
    if not set(xs).issuperset(ends):
        return None
    observer = current_observer()
    run_by = executor(backend, observer)
    run, plus = run_by.forward, OPS["add"].bind()

    def add(x: Any, y: Any) -> Any:
        return together(x, y, add) if type(x) is tuple else run(plus, (x, y))

    sums: Any = seeds
    walk_back(order, sums, sender_of(run_by, sums, observer), add)
    return [seeds.get(x) for x in xs]


def is_own(y: Node, xs: Sequence[Node]) -> bool:
    """Whether y depends on no node that needs a gradient but those among `xs`."""
    order, _ = reached((y,))
    known = set(xs)
    return not y.needs_gradient or all(True in x.needed or x in known for x in order)


def _leading(order: Sequence[Node], xs: Sequence[Node]) -> set[Node]:
    """The nodes of `order`, readers first, that lead to an x."""
    leading = set(xs)
    for node in reversed(order):
        if any(w and x in leading for x, w in zip(node.inputs, node.needed, strict=True)):
            leading.add(node)
    return leading


def _sum(x: Any, y: Any) -> Any:
    return together(x, y, operator.add) if type(x) is tuple else x + y


def _outputs_of(hub: Hub) -> tuple[Node, ...]:
    """The nodes of the outputs: those that there are, and new ones for those that are gone."""
    living = {r.op.attributes["number"]: r for r in hub.readers() if r.op is not None}
    numbers = range(len(hub.shape))
    return tuple([living[i] if i in living else hub.output(i) for i in numbers])  # type: ignore[misc]
