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
from autodiff.op import OPS, OUTPUT_OF, Op
from autodiff.ops.arguments import listed, operand
from autodiff.ops.rules import input_gradients
from autodiff.refusal import refusal

__all__ = ["depends_on_older", "gradient_nodes", "gradient_values", "gradients"]


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
        return [g if g is None else _as_node(g, node, gradient) for g in sent]

    walk_back([x for x in order if x in leading], seeds, gradients_of, _sum)
    return [(x, seeds.get(x) if x in leading else None) for x in xs]


def _as_node(found: Any, node: Node, gradient: Any) -> Node:
    """What the rule of `node` gave, as a node; if it is numbers, one that refuses gradients."""
    made = lift(found)
    if isinstance(found, Node):
        return made
    come = gradient if type(gradient) is tuple else (gradient,)
    sources = [x for x in (*come, *node.inputs) if x is not None and x.needs_gradient]
    if not sources or (type(found) is np.ndarray and not found.any()):
        return made
    assert node.op is not None
    return Node(_OF_NUMBERS.bind(rule=node.op.name), [made, *sources])


def _refuse(g: Any, z: Any, *values: Any, needed: Sequence[bool], rule: str) -> Any:
    raise GradientError(
        f"the backward rule of {rule!r} gave numbers, not nodes, and so its gradient cannot be "
        "differentiated again; write the rule with operators and functions of autodiff"
    )


_OF_NUMBERS = Op(
    name="numbers_of_rule",
    inputs=("values",),
    attributes=("rule",),
    shape=lambda *shapes, rule: shapes[0],
    forward=lambda *values, rule: values[0],
    backward=(_refuse,),
    reads=frozenset(),
    elementwise=False,
    variadic=True,
    examples=(),
    formula="z = the first value; it depends on the others, nobody knows how.",
)
"""What a rule that works with numbers gives, when it is given nodes. It is in no table."""


def gradient_values(
    seeds: dict[Node, Any], xs: Sequence[Node], since: int, prepare: Callable[[Node], Any]
) -> list[Any] | None:
    """d sum(seed · y) / dx as arrays, or as recorded values in a recording; nodes learn nothing.

    None instead of a list: some y depends on an older node that needs a gradient, so that the
    gradient is a function of that, too. Within the list None: no y depends on that x.

    since : the number of the first node that is no older; every x is none.
    seeds : for each y an array of its shape, which may be written; the dictionary is used up.
    prepare : sees to it that a y and all below it are computed.
    """
    order, _ = reached(tuple(seeds))
    if _begins_before(order, since):
        return None
    for y in seeds:
        prepare(y)
    observer = current_observer()
    run_by = executor(None, observer)
    run, plus = run_by.forward, OPS["add"].bind()

    def add(x: Any, y: Any) -> Any:
        return together(x, y, add) if type(x) is tuple else run(plus, (x, y))

    sums: Any = seeds
    walk_back(order, sums, sender_of(run_by, sums, observer), add)
    return [seeds.get(x) for x in xs]


def depends_on_older(y: Node, since: int) -> bool:
    """Whether y depends on a node that needs a gradient, and is older than node number `since`."""
    return y.needs_gradient and _begins_before(reached((y,))[0], since)


def _begins_before(order: Sequence[Node], since: int) -> bool:
    """Whether one of the nodes that gradients end at is older than node number `since`."""
    return any(x.serial < since for x in order if True not in x.needed)


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
