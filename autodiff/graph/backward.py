"""The backward pass, and reset. (The forward pass is in :mod:`autodiff.graph.forward`.)

The idea of the library lives here. In a backward pass a node **waits until all of its
parents have sent their gradients, sums them, and only then pushes down**, once. What
waits is an edge, not a parent: ``x * x`` sends to ``x`` twice.

A pass has three parts. First it is worked out who takes part and who waits for whom
(:mod:`autodiff.graph.plans`); then the gradients are computed (:mod:`autodiff.graph.walk`); then
the nodes are told. So an error on the way finds no sum half made. What an interruption leaves
between two nodes is undone before anybody looks (:mod:`autodiff.graph.unfinished`).

Nothing here recurses, and every walk is linear in the number of edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from autodiff.array import as_float64
from autodiff.backend import Backend
from autodiff.errors import BackwardTwiceError, GradientError, ShapeError
from autodiff.graph import clock, unfinished
from autodiff.graph.clock import settle
from autodiff.graph.forward import executor, require_fresh, values_of
from autodiff.graph.observer import Observer, current_observer, here
from autodiff.graph.order import ancestors
from autodiff.graph.plans import Waiting, Whole
from autodiff.graph.several import is_hub, together
from autodiff.graph.state import State
from autodiff.graph.waiting import twice
from autodiff.graph.walk import walk_back
from autodiff.op import OPS
from autodiff.operators import Operators
from autodiff.refusal import refusal

__all__ = ["backward", "push", "reset", "sender_of", "settled"]

StateT = TypeVar("StateT", bound=State)

# ---- backward -------------------------------------------------------------------------


def backward(
    seeds: Mapping[Any, Any] | State,
    *,
    accumulate: bool = False,
    backend: str | Backend | None = None,
) -> None:
    """One backward pass from several outputs, each with its own gradient.

    Every node waits for just those edges that a gradient will come along in this pass,
    so readers that take no part (a prediction that is not in the loss) hold up nothing.
    A pass begins a new sum wherever it comes.

    Parameters
    ----------
    seeds : ``{node: gradient}``, gradients of the shape of their node; 1.0 or None stands
        for ones if the node has a single element. A node alone stands for ``{node: 1.0}``.
    accumulate : let the sums of tensors begin with the gradients that they hold, if they were
        not assigned since: batches that are too large for one pass can be fed in parts.

    Raises
    ------
    ShapeError
        If a gradient does not have its node's shape.
    StaleValueError
        If a tensor was assigned since the values were computed.
    BackwardTwiceError
        If a seed has already pushed in this pass, or a tensor holds a gradient that nobody has
        read: it would be lost. Call ``reset()``, accumulate, or give all seeds at once.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.Tensor([1.0, 2.0])
    >>> autodiff.backward({(x * x).sum(): 1.0})
    >>> x.gradient
    array([2., 4.])
    >>> autodiff.backward((3.0 * x).sum(), accumulate=True)
    >>> x.gradient
    array([5., 7.])
    """
    pairs = seeds if isinstance(seeds, Mapping) else {_node("backward", seeds): None}
    checked = {
        (node := here(_node("backward", x))): _seed_gradient(node, g) for x, g in pairs.items()
    }
    for node in checked:
        settled(node)
        require_fresh(node, backend)
    for node in checked:
        if node.awaited == 0:
            raise twice(node)
    whole = Whole(tuple(checked))
    whole.refuse(accumulate)
    _run(whole, checked, backend, accumulate)


def _node(what: str, x: Any) -> State:
    """`x`, if it is a node; GradientError that says what to give."""
    if not isinstance(x, State):
        kind = f"a {type(x).__name__}"
        if isinstance(x, Operators):
            kind = "a recorded value (autodiff.Tensor(x) of an argument is one)"
        raise refusal(
            GradientError,
            f"{what}: {kind} is no node; give a node, such as a loss computed from tensors"
            + (", or {node: gradient, ...} for several" if what == "backward" else ""),
        )
    return x


def push(
    node: State,
    gradient: Any,
    sender: str | None,
    backend: str | Backend | None,
    accumulate: bool,
) -> None:
    """Send `node` one gradient from outside; it and what it completes push down.

    This is the post's style: every node waits for all of its living parents, and for the
    outside senders that it was told of by ``register``.
    """
    seed = _seed_gradient(node, gradient)
    settled(node)
    require_fresh(node, backend)
    announced = node.announced or {}
    if sender is not None and sender not in announced:
        raise GradientError(
            f"{node.describe()} does not wait for {sender!r}; call register({sender!r}) first"
        )
    if node.awaited == 0:
        raise BackwardTwiceError(
            f"{node.describe()} has pushed its gradient down already; call reset() before another "
            "pass, register() outside senders before the first, or use "
            "autodiff.backward({node: gradient, ...})"
        )
    if sender is not None and node.awaited > 0 and announced[sender] == node.begun:
        raise BackwardTwiceError(
            f"{sender!r} has sent its gradient to {node.describe()} already in this pass"
        )
    planned: Whole | Waiting | None = None
    if node.awaited < 0 and not announced:
        whole = Whole((node,))
        planned = whole if whole.is_alone(accumulate) else None
    _run(planned or Waiting(node, sender, accumulate), {node: seed}, backend, accumulate)


def _seed_gradient(node: State, gradient: Any) -> Any:
    if not node.needs_gradient:
        raise GradientError(f"{node.describe()} is constant: no gradient can be sent to it")
    if is_hub(node):
        raise GradientError(
            f"backward: {node.describe()} computes several values; give one of them, or "
            "{node: gradient, ...} for several"
        )
    gradient = getattr(gradient, "value", gradient)  # of a node
    if not (gradient is None or isinstance(gradient, Operators)):
        gradient = as_float64(gradient, f"backward: the gradient for {node.describe()}")
    shape = node.shape
    if gradient is None or np.ndim(gradient) == 0:
        if math.prod(shape) != 1:
            raise ShapeError(
                f"backward: {node.describe()} has shape {shape}: give a gradient of that shape"
            )
        if isinstance(gradient, Operators):
            return gradient.reshape(shape)
        return np.full(shape, 1.0 if gradient is None else gradient)
    if np.shape(gradient) != shape:
        raise ShapeError(
            f"backward: the gradient has shape {np.shape(gradient)}, {node.describe()} has shape "
            f"{shape}"
        )
    if isinstance(gradient, Operators):
        return gradient  # a recorded value
    return np.array(gradient)


def settled(node: StateT) -> StateT:
    """`node`, once replays and interrupted passes have left no trace on it."""
    settle()
    unfinished.undo()
    return node


def _run(
    planned: Whole | Waiting,
    seeds: dict[State, Any],
    backend: str | Backend | None,
    accumulate: bool,
) -> None:
    """Push gradients down as planned; on any error, leave none of those planned for.

    Nothing changes before all gradients are computed, and then all changes.
    """
    observer = current_observer()
    run_by = executor(backend, observer)
    run, plus = run_by.forward, OPS["add"].bind()

    def add(x: Any, y: Any) -> Any:
        return together(x, y, add) if type(x) is tuple else run(plus, (x, y))

    under_way = unfinished.begin(lambda: _forget(planned.nodes()))
    try:
        sums = planned.held(accumulate, observer)
        for node, seed in seeds.items():
            sums[node] = add(sums[node], seed) if node in sums else seed
        walk_back(planned.order(), sums, sender_of(run_by, sums, observer), add)
        complete = planned.note(sums)
    except BaseException:
        _forget(planned.nodes())
        unfinished.end(under_way)
        raise
    clock.note_pass()
    unfinished.leave_unread(complete, recorded=observer is not None and observer.home is not None)
    unfinished.end(under_way)  # the last line: an interruption undoes the pass, or comes after it


def sender_of(
    backend: Backend, sums: dict[State, Any], observer: Observer | None
) -> Callable[[State, Any], Sequence[Any]]:
    """What computes the gradients that a node sends to its inputs."""
    run, run_onto = backend.backward, backend.add_gradient

    def gradients_of(node: State, gradient: Any) -> Sequence[Any]:
        op: Any = node.op
        inputs = node.inputs
        n = len(inputs)
        if n == 2:
            values: tuple[Any, ...] = inputs[0].stored, inputs[1].stored
        else:
            values = (inputs[0].stored,) if n == 1 else values_of(inputs)
        if op.op.onto is not None and observer is None:
            # A slice sends to few elements: they are added to a sum that is the pass's own.
            x = inputs[0]
            if x in sums and (total := sums[x]) is not x.summed:
                sums[x] = run_onto(op, 0, gradient, node.stored, values, total)
                return ()
        return run(op, gradient, node.stored, values, node.needed)

    if observer is None:
        return gradients_of
    tell = observer.backward

    def watched(node: State, gradient: Any) -> Sequence[Any]:
        sent = gradients_of(node, gradient)
        tell(node, sent, sums)
        return sent

    return watched


def _forget(nodes: Iterable[State]) -> None:
    for node in nodes:
        node.forget_gradient()


def reset(*roots: State) -> None:
    """Forget the gradients of `roots` and of all nodes below them."""
    unfinished.undo()
    now = next(clock.ticks)
    for node in ancestors([here(_node("reset", root)) for root in roots]):
        node.forget_gradient()
        node.begun = now  # what they hold is known, also to a recording
