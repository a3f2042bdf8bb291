"""The passes over a graph: forward, backward, gradients as nodes, reset.

The idea of the library lives here. In a backward pass a node **waits until all of its
parents have sent their gradients, sums them, and only then pushes down**, once. What
waits is an edge, not a parent: ``x * x`` sends to ``x`` twice.

How a node counts. ``_awaited`` is the number of edges it still waits for; 0 when its sum
is complete; -1 when there is no sum, or an old one that the next gradient replaces.
The first gradient of a pass begins a new *round* of the node, and every edge remembers
the round in which it sent last; with a minus, the one in which it is waited for. So an edge
that sends again after its reader was computed anew begins the next round, an edge that would
be counted twice is noticed, and one from a reader that was made in mid-pass is one more.

How values age. Every assignment and every computed value carries a tick of one counter. A
value is stale if one of its inputs has a later tick. An *epoch* ends with every
assignment; a node that was found fresh in the present epoch need not be looked at again.

Nothing here recurses, and every walk is linear in the number of edges.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import forks
from autodiff.array import as_float64
from autodiff.backend import Backend, get_backend
from autodiff.errors import (
    BackwardTwiceError,
    GradientError,
    IncompleteGradientError,
    IndexRangeError,
    ShapeError,
    StaleValueError,
    UnassignedError,
)
from autodiff.observer import Observer, current_observer, observe
from autodiff.op import OPS
from autodiff.operators import Operators
from autodiff.sweep import Sweep

if TYPE_CHECKING:
    from autodiff.node import Edge, Node

__all__ = [
    "Observer",
    "ancestors",
    "backward",
    "current_observer",
    "forward",
    "observe",
    "reset",
]

ticks = itertools.count(1)
_epoch = object()


def new_epoch() -> int:
    """A tensor was assigned: nothing is known to be fresh. Returns the tick of it."""
    global _epoch
    _epoch = object()
    return next(ticks)


_unsettled: dict[Any, None] = {}

_recording = forks.new_lock()
"""Held by a thread that records a step: the tensors of the step hold no numbers meanwhile."""
_records = threading.local()


def defer(settle: Callable[[], None]) -> None:
    """Call `settle` before the next pass over any graph.

    A replayed step writes to tensors without touching them: that they have changed is
    noted only when somebody looks.
    """
    _unsettled[settle] = None


def settle() -> None:
    """Take note of what replayed steps have written; in a recording, once it is over."""
    if _unsettled and not getattr(_records, "now", False):
        with _recording:
            while _unsettled:
                _unsettled.popitem()[0]()


@contextmanager
def alone() -> Iterator[None]:
    """Record within a ``with`` block: no other thread records, or settles, meanwhile."""
    with _recording:
        settle()
        before = getattr(_records, "now", False)
        _records.now = True
        try:
            yield
        finally:
            _records.now = before


# ---- walks ----------------------------------------------------------------------------


def ancestors(roots: Iterable[Node], follow: Callable[[Node], bool] | None = None) -> list[Node]:
    """`roots` and all nodes they are computed from, inputs before readers.

    `follow` says of a node whether to go into its inputs, and to list it at all.
    """
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            order.append(node)
        elif node not in seen and (follow is None or follow(node)):
            seen.add(node)
            stack.append((node, True))
            stack.extend((x, False) for x in reversed(node.inputs) if x not in seen)
    return order


# ---- forward --------------------------------------------------------------------------


def forward(root: Node, backend: str | Backend | None = None) -> None:
    """Compute `root` and whatever it needs that is missing or stale.

    Raises
    ------
    UnassignedError
        If a tensor below has no value; nothing has been computed then.
    """
    settle()
    epoch = _epoch
    if root._checked is epoch:
        return
    run = get_backend(backend).forward
    observer = current_observer()
    tick = next(ticks)
    for node in itertools.chain(_plan(root, epoch), (root,)):
        age = node._tick
        if observer is not None and observer.wants(node):
            age = 0
        for x in node.inputs:
            if x._tick > age:
                try:
                    value = run(node.op, [x._value for x in node.inputs])  # type: ignore[arg-type]
                except IndexRangeError as error:  # found only now: rows by number
                    raise IndexRangeError(f"{error} ({node.describe()})") from None
                if observer is not None:
                    observer.forward(node, value)
                # The tick last: if Ctrl-C comes between, the node is computed again.
                node._awaited = -1
                node._gradient = None
                node._value = value
                node._tick = tick
                break
        node._checked = epoch


def _plan(root: Node, epoch: object) -> Sequence[Node]:
    """The computed nodes below `root` that are not known to be fresh, in order.

    It is kept with the root: a graph never changes below a node. (The root itself is not
    in it: a node that holds itself would stay when its last user lets it go.) What the walk
    left out because it was fresh must be fresh next time too, else the walk is repeated.
    So all kept plans together are not larger than the graph, however many roots it has.
    """
    if root._plan is not None:
        order, left_out = root._plan
        if all(node._checked is epoch for node in left_out):
            return order
    fresh: list[Node] = []

    def follow(node: Node) -> bool:
        if node._checked is epoch:
            fresh.append(node)
            return False
        if node.op is None and node._value is None:
            raise UnassignedError(f"{node.describe()} was never assigned a value; call assign()")
        return node.op is not None

    order = ancestors([root], follow)
    order.pop()
    root._plan = order, fresh
    return order


def _require_fresh(root: Node, backend: str | Backend | None) -> None:
    """See to it that `root` and all below it have values of the present tensors."""
    settle()
    epoch = _epoch
    if root._checked is epoch:
        return
    if root._value is None:
        forward(root, backend)
        return
    walked = ancestors([root], lambda node: node._checked is not epoch and node.op is not None)
    for node in walked:
        for x in node.inputs:
            if x._tick > node._tick or x._value is None:
                raise StaleValueError(
                    f"backward from {root.describe()}: the value of {node.describe()} is older "
                    f"than its input {x.describe()}; call forward() after assign()"
                )
    for node in walked:
        node._checked = epoch


# ---- backward -------------------------------------------------------------------------


def backward(seeds: Mapping[Node, Any] | Node, *, backend: str | Backend | None = None) -> None:
    """One backward pass from several outputs, each with its own gradient.

    Every node waits for just those edges that a gradient will come along in this pass,
    so readers that take no part (a prediction that is not in the loss) hold up nothing.

    Parameters
    ----------
    seeds : ``{node: gradient}``, gradients of the shape of their node; 1.0 or None stands
        for ones if the node has a single element. A node alone stands for ``{node: 1.0}``.

    Raises
    ------
    ShapeError
        If a gradient does not have its node's shape.
    StaleValueError
        If a tensor was assigned since the values were computed.
    BackwardTwiceError
        If a node has already pushed in this pass: call ``reset()``, or give all seeds at once.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.Tensor([1.0, 2.0])
    >>> autodiff.backward({(x * x).sum(): 1.0})
    >>> x.gradient
    array([2., 4.])
    """
    pairs = dict(seeds) if isinstance(seeds, Mapping) else {seeds: None}
    checked = {node: _seed_gradient(node, g) for node, g in pairs.items()}
    for node in checked:
        _require_fresh(node, backend)
    if len(checked) == 1:
        ((node, gradient),) = checked.items()
        if node._awaited < 0 and _sweep_of(node).begins_anew():
            _run_sweep(node, gradient, backend)
            return
    counts = _reachable_edges(checked)
    _check_new_pass(checked, counts)
    _run(checked, counts, backend)


def push(node: Node, gradient: Any, sender: str | None, backend: str | Backend | None) -> None:
    """Send `node` one gradient from outside; it and what it completes push down.

    This is the post's style: every node waits for all of its living parents, and for the
    outside senders that it was told of by ``register``.
    """
    seed = _seed_gradient(node, gradient)
    _require_fresh(node, backend)
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
    if not node._parents and node._senders is None and node._awaited < 0:
        sweep = _sweep_of(node)
        if sweep.is_alone() and sweep.begins_anew():
            _run_sweep(node, seed, backend)
            return
    _run({node: seed}, None, backend, sender)


def _sweep_of(root: Node) -> Sweep:
    if root._sweep is None:
        root._sweep = Sweep(root, ancestors([root], lambda node: node.needs_gradient))
    return root._sweep


def _run_sweep(root: Node, gradient: Any, backend: str | Backend | None) -> None:
    assert root._sweep is not None
    try:
        root._sweep.run(root, gradient, get_backend(backend), current_observer())
    except BaseException:
        reset(root)
        raise


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


def _check_new_pass(seeds: Iterable[Node], counts: Mapping[Node, int]) -> None:
    """Refuse before anything changes: half-finished rounds, and pushing twice."""
    for node in seeds:
        if node._awaited == 0:
            raise _twice(node)
    for node in counts:
        if node._awaited > 0:
            raise _half_finished(node)
        for x, edge in zip(node.inputs, node._edges, strict=True):
            if edge is not None and x._awaited == 0 and edge.round != x._round:
                raise _twice(x)


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


def _run(
    seeds: Mapping[Node, Any],
    counts: Mapping[Node, int] | None,
    backend: str | Backend | None,
    sender: str | None = None,
) -> None:
    """Push gradients down as far as they go; on any error leave no half-made sums."""
    try:
        _push_down(seeds, counts, get_backend(backend), sender)
    except BaseException:
        reset(*seeds)
        raise


def _push_down(
    seeds: Mapping[Node, Any],
    counts: Mapping[Node, int] | None,
    backend: Backend,
    sender: str | None,
) -> None:
    add, run = OPS["add"].bind(), backend.forward
    run_backward, observer = backend.backward, current_observer()
    ready: list[Node] = []
    for node, g in seeds.items():
        if node._awaited < 0:
            node._round += 1
            node._gradient = g
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
                x._gradient = run(add, (x._gradient, g))
                if counts is None and edge.round != -x._round:
                    awaited += 1  # one more than it waits for: a reader made in mid-pass
            elif awaited < 0 or edge.round == x._round:
                x._round += 1
                x._gradient = g
                if counts is None and len(x._parents) == 1 and x._senders is None:
                    awaited = 1  # the usual case, without a call: it has this reader only
                else:
                    awaited = _expected(x, counts)
            else:
                raise _twice(x)
            edge.round = x._round
            x._awaited = awaited = awaited - 1
            if awaited == 0:
                ready.append(x)


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
    for node in ancestors(roots):
        node._awaited = -1
        node._gradient = None
