"""The backward pass, and reset. (The forward pass is in :mod:`autodiff.graph.forward`.)

The idea of the library lives here. In a backward pass a node **waits until all of its
parents have sent their gradients, sums them, and only then pushes down**, once. What
waits is an edge, not a parent: ``x * x`` sends to ``x`` twice.

How a node counts. ``_awaited`` is the number of edges it still waits for; 0 when its sum
is complete; -1 when there is no sum, or an old one that the next gradient replaces.
The first gradient of a pass begins a new *round* of the node, and every edge remembers
the round in which it sent last; with a minus, the one in which it is waited for. So an edge
that sends again after its reader was computed anew begins the next round, an edge that would
be counted twice is noticed, and one from a reader that was made in mid-pass is one more.

How values age is said in :mod:`autodiff.graph.clock`. What an interrupted pass has left half done
is undone before anybody looks (:mod:`autodiff.graph.unfinished`).

Nothing here recurses, and every walk is linear in the number of edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.array import as_float64
from autodiff.backend import Backend
from autodiff.errors import (
    BackwardTwiceError,
    GradientError,
    IncompleteGradientError,
    ShapeError,
)
from autodiff.graph import clock, unfinished
from autodiff.graph.clock import settle
from autodiff.graph.forward import executor, require_fresh
from autodiff.graph.observer import Observer, current_observer, here
from autodiff.graph.order import ancestors
from autodiff.graph.sweep import Sweep
from autodiff.op import OPS
from autodiff.operators import Operators
from autodiff.refusal import refusal

if TYPE_CHECKING:
    from autodiff.graph.edge import Edge
    from autodiff.graph.node import Node

__all__ = ["backward", "reset"]

# ---- backward -------------------------------------------------------------------------


def backward(
    seeds: Mapping[Node, Any] | Node,
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
    if len(checked) == 1 and not accumulate:
        ((node, gradient),) = checked.items()
        if node._awaited < 0 and _sweep_of(node).begins_anew():
            return _run_sweep(node, gradient, backend)
    counts = _reachable_edges(checked)
    _check_new_pass(checked, counts, accumulate)
    return _run(checked, counts, backend, None, accumulate)


def _node(what: str, x: Any) -> Node:
    """`x`, if it is a node; GradientError that says what to give."""
    if not hasattr(type(x), "_home"):
        kind = f"a {type(x).__name__}"
        if isinstance(x, Operators):
            kind = "a recorded value (autodiff.Tensor(x) of an argument is one)"
        raise refusal(
            GradientError,
            f"{what}: {kind} is no node; give a node, such as a loss computed from tensors"
            + (", or {node: gradient, ...} for several" if what == "backward" else ""),
        )
    return x  # type: ignore[no-any-return]


def push(
    node: Node,
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
    if sender is not None and sender not in node.senders:
        raise GradientError(
            f"{node.describe()} does not wait for {sender!r}; call register({sender!r}) first"
        )
    if node._awaited == 0:
        raise BackwardTwiceError(
            f"{node.describe()} has pushed its gradient down already; call reset() before another "
            "pass, register() outside senders before the first, or use "
            "autodiff.backward({node: gradient, ...})"
        )
    if sender is not None and node._awaited > 0 and node.senders[sender] == node._round:
        raise BackwardTwiceError(
            f"{sender!r} has sent its gradient to {node.describe()} already in this pass"
        )
    if not node._parents and node._senders is None and node._awaited < 0 and not accumulate:
        sweep = _sweep_of(node)
        if sweep.is_alone() and sweep.begins_anew():
            return _run_sweep(node, seed, backend)
    return _run({node: seed}, None, backend, sender, accumulate)


def _sweep_of(root: Node) -> Sweep:
    if root._sweep is None:
        root._sweep = Sweep(root, ancestors([root], lambda node: node.needs_gradient))
    return root._sweep


def _run_sweep(root: Node, gradient: Any, backend: str | Backend | None) -> None:
    assert root._sweep is not None
    observer = current_observer()
    under_way = unfinished.begin(lambda: _forget(ancestors([root])))
    try:
        root._sweep.run(root, gradient, executor(backend, observer), observer)
    except BaseException:
        _forget(ancestors([root]))
        unfinished.end(under_way)
        raise
    clock.note_pass()
    unfinished.leave_unread(root._sweep.tensors or [root], observer)
    unfinished.end(under_way)  # the last line: an interruption undoes the pass, or comes after it


def _seed_gradient(node: Node, gradient: Any) -> Any:
    if not node.needs_gradient:
        raise GradientError(f"{node.describe()} is constant: no gradient can be sent to it")
    gradient = getattr(gradient, "value", gradient)  # of a node
    if not (gradient is None or isinstance(gradient, Operators)):
        gradient = as_float64(gradient, f"backward: the gradient for {node.describe()}")
    if gradient is None or np.ndim(gradient) == 0:
        if node.size != 1:
            raise ShapeError(
                f"backward: {node.describe()} has shape {node.shape}: give a gradient of that shape"
            )
        if isinstance(gradient, Operators):
            return gradient.reshape(node.shape)
        return np.full(node.shape, 1.0 if gradient is None else gradient)
    if np.shape(gradient) != node.shape:
        raise ShapeError(
            f"backward: the gradient has shape {np.shape(gradient)}, {node.describe()} has shape "
            f"{node.shape}"
        )
    if isinstance(gradient, Operators):
        return gradient  # a recorded value
    return np.array(gradient)


def _reachable_edges(seeds: Iterable[Node]) -> dict[Node, int]:
    """For every node that the seeds send to: along how many edges (a seed is one more)."""
    counts: dict[Node, int] = {}
    stack = list(seeds)
    for node in stack:
        counts[node] = 1
    while stack:
        node = stack.pop()
        for x, wanted in zip(node.inputs, node.needed, strict=True):
            if wanted:
                if x in counts:
                    counts[x] += 1
                else:
                    counts[x] = 1
                    stack.append(x)
    return counts


def _check_new_pass(seeds: Iterable[Node], counts: Mapping[Node, int], accumulate: bool) -> None:
    """Refuse before anything changes: half-finished rounds, pushing twice, a gradient lost."""
    for node in seeds:
        if node._awaited == 0:
            raise _twice(node)
    for node in counts:
        if node._awaited > 0:
            raise _half_finished(node)
        if not accumulate and is_unread(node):
            raise unread(node)


def is_unread(node: Node) -> bool:
    """Whether `node` is a tensor with a complete gradient that nobody has read.

    If the function that ran the pass was interrupted, nobody ever will, and the next may begin.
    """
    unread = node._unread
    return node._awaited == 0 and unread is not None and not unread.is_interrupted()


def unread(node: Node) -> BackwardTwiceError:
    return BackwardTwiceError(
        f"{node.describe()} holds the complete gradient of an earlier backward pass, which nobody "
        "has read, and this pass would replace it: read it first (or let an optimiser step), add "
        "to it by autodiff.backward(..., accumulate=True), or forget it by autodiff.reset(...) of "
        "this tensor; if no gradient of it is wanted, make it Tensor(..., constant=True)"
    )


def _twice(node: Node) -> BackwardTwiceError:
    return BackwardTwiceError(
        f"{node.describe()} has its complete gradient of an earlier backward pass over the same "
        "values; call reset() before another pass, or seed all outputs in one "
        "autodiff.backward({node: gradient, ...})"
    )


def _half_finished(node: Node) -> IncompleteGradientError:
    return IncompleteGradientError(
        f"an earlier backward pass is unfinished: {waiting_message(node)}; call reset()"
    )


def held_up(node: Node) -> Node | None:
    """The node that still waits, so that no gradient comes down to `node`; None if there is none.

    To be asked of a node without a new gradient; walks up its readers.
    """
    seen, stack = {node}, [node]
    while stack:
        x = stack.pop()
        if x._awaited > 0:
            return x
        if x._awaited < 0:
            for edge in tuple(x._parents):
                reader = edge()
                if reader is not None and reader not in seen:
                    seen.add(reader)
                    stack.append(reader)
    return None


def waiting_message(node: Node) -> str:
    """Who waits for whom, for error messages."""
    names = [f"{parent.describe()}" for parent, _ in node.waiting_for]
    missing = [sender for sender, sent in node.senders.items() if sent != node._round]
    names += [f"the outside sender {sender!r}" for sender in missing]
    return f"{node.describe()} still waits for {', '.join(names) or 'a reader that is gone'}"


def settled(node: Node) -> Node:
    """`node`, once replays and interrupted passes have left no trace on it."""
    settle()
    unfinished.undo()
    return node


def _run(
    seeds: Mapping[Node, Any],
    counts: Mapping[Node, int] | None,
    backend: str | Backend | None,
    sender: str | None,
    accumulate: bool,
) -> None:
    """Push gradients down as far as they go; on any error leave no half-made sums."""
    begun: list[Node] = []
    run_by = executor(backend, current_observer())
    under_way = unfinished.begin(lambda: _forget(begun))
    try:
        _push_down(seeds, counts, run_by, sender, accumulate, begun)
    except BaseException:
        _forget(begun)
        unfinished.end(under_way)
        raise
    clock.note_pass()
    complete = [x for x in dict.fromkeys(begun) if x.op is None and x._awaited == 0]
    unfinished.leave_unread(complete, current_observer())
    unfinished.end(under_way)


def _push_down(
    seeds: Mapping[Node, Any],
    counts: Mapping[Node, int] | None,
    backend: Backend,
    sender: str | None,
    accumulate: bool,
    begun: list[Node],
) -> None:
    """The general pass. `begun` gets every node whose sum is changed, before it is."""
    add, run = OPS["add"].bind(), backend.forward
    run_backward, observer = backend.backward, current_observer()
    ready: list[Node] = []
    for node, g in seeds.items():
        begun.append(node)
        if node._awaited < 0:
            _begin_sum(node, g, accumulate, add, run, observer)
            node._awaited = _expected(node, counts)
        else:
            node._gradient = run(add, (node._gradient, g))
        if sender is not None:
            node.senders[sender] = node._round
        if counts is not None or sender is not None:
            node._awaited -= 1  # the gradient from outside is one of those it waits for
        if node._awaited == 0:
            ready.append(node)
    while ready:
        node = ready.pop()
        inputs = node.inputs
        if not inputs:
            continue
        sent = run_backward(  # only tensors have no op, and those have no inputs
            node.op,  # type: ignore[arg-type]
            node._gradient,
            node._value,
            [x._value for x in inputs],
            node.needed,
        )
        if observer is not None:
            observer.backward(node, sent)
        for x, edge, g in zip(inputs, node._edges, sent, strict=True):
            if edge is None:
                continue
            awaited = x._awaited
            if awaited > 0:
                if edge.round == x._round:
                    raise _half_finished(x)
                begun.append(x)
                x._gradient = run(add, (x._gradient, g))
                if counts is None and edge.round != -x._round:
                    awaited += 1  # one more than it waits for: a reader made in mid-pass
            else:
                if awaited == 0:
                    _check_new_sum(x, edge, counts, accumulate)
                begun.append(x)
                _begin_sum(x, g, accumulate, add, run, observer)
                if counts is None and len(x._parents) == 1 and x._senders is None:
                    awaited = 1  # the usual case, without a call: it has this reader only
                else:
                    awaited = _expected(x, counts)
            edge.round = x._round
            x._awaited = awaited = awaited - 1
            if awaited == 0:
                ready.append(x)


def _check_new_sum(
    x: Node, edge: Edge, counts: Mapping[Node, int] | None, accumulate: bool
) -> None:
    """Refuse what would be lost, or pushed down twice, if a new sum began at `x`."""
    if not accumulate and is_unread(x):
        raise unread(x)
    if counts is None and x.op is not None and edge.round != x._round:
        raise _twice(x)


def _begin_sum(
    node: Node, g: Any, accumulate: bool, add: Any, run: Any, observer: Observer | None
) -> None:
    """`g` is the first gradient that comes to `node` in a new pass."""
    if accumulate and node.op is None and node._awaited == 0:
        g = run(add, (node._gradient, g))
    if node.op is None and observer is not None:
        observer.begins_sum(node, accumulate)
    node._gradient = g
    node._round += 1


def _forget(nodes: Iterable[Node]) -> None:
    for node in nodes:
        if node._unread is not None:
            unfinished.note_read([node])
        node._awaited = -1
        node._gradient = None


def _expected(node: Node, counts: Mapping[Node, int] | None) -> int:
    """How many gradients will come to `node` in the pass that begins."""
    if counts is not None:
        return counts[node]
    expected = len(node.senders)
    for edge in tuple(node._parents):
        if can_send(edge, node):
            edge.round = -node._round
            expected += 1
    return expected


def can_send(edge: Edge, node: Node) -> bool:
    """Whether a gradient may come along `edge` to `node` in a pass over the present values.

    The reader may not have been computed yet. But if its value is older than the node's, as
    that of last step's graph is once a weight has been assigned, it must be computed
    again first: nobody waits for it.
    """
    reader = edge()
    return reader is not None and (reader._tick == 0 or reader._tick >= node._tick)


def reset(*roots: Node) -> None:
    """Forget the gradients of `roots` and of all nodes below them."""
    unfinished.undo()
    nodes = ancestors([here(_node("reset", root)) for root in roots])
    _forget(nodes)
    for node in nodes:
        node._round += 1  # what they hold is known, also to a recording
