"""Who waits for whom, and what a pass must not take away."""

from __future__ import annotations

from typing import Any

from autodiff.errors import BackwardTwiceError, IncompleteGradientError
from autodiff.graph.several import is_idle
from autodiff.graph.state import State

__all__ = [
    "can_send",
    "half_finished",
    "held_up",
    "is_unread",
    "twice",
    "unread",
    "waiting_for",
    "waiting_message",
]


def can_send(reader: State, node: State) -> bool:
    """Whether a gradient may come from `reader` to `node` in a pass over the present values.

    The reader may not have been computed yet. But if its value is older than the node's, as
    that of last step's graph is once a weight has been assigned, it must be computed
    again first: nobody waits for it. Nor for an output that nobody uses.
    """
    return (reader.tick == 0 or reader.tick >= node.tick) and not is_idle(reader)


def waiting_for(node: State) -> tuple[tuple[Any, int], ...]:
    """The readers whose gradient is still to come to `node`, each with the number of its input."""
    if node.awaited == 0:
        return ()
    uses = node.uses(wanted=True)
    if node.awaited < 0:
        return tuple(use for use in uses if can_send(use[0], node))
    awaits = node.awaits or ()
    return tuple(u for u in uses if u[0].serial in awaits and not u[0].has_sent_to(node))


def held_up(node: State) -> State | None:
    """The node that still waits, so that no gradient comes down to `node`; None if there is none.

    To be asked of a node without a new gradient; walks up its readers.
    """
    seen, stack = {node}, [node]
    while stack:
        x = stack.pop()
        if x.awaited > 0:
            return x
        if x.awaited < 0:
            readers = [r for r in x.readers() if r not in seen and r.sends_to(x)]
            readers += [r for r, _ in x.outside_readers() if r not in seen]
            seen.update(readers)
            stack += readers
    return None


def waiting_message(node: State) -> str:
    """Who waits for whom, for error messages."""
    names = [f"{parent.describe()}" for parent, _ in waiting_for(node)]
    missing = [sender for sender, sent in (node.announced or {}).items() if sent != node.begun]
    names += [f"the outside sender {sender!r}" for sender in missing]
    return f"{node.describe()} still waits for {', '.join(names) or 'a reader that is gone'}"


def is_unread(node: State) -> bool:
    """Whether `node` is a tensor with a complete gradient that nobody has read.

    If the function that ran the pass was interrupted, nobody ever will, and the next may begin.
    """
    unread = node.unread
    return node.awaited == 0 and unread is not None and not unread.is_interrupted()


def unread(node: State) -> BackwardTwiceError:
    """What is raised where the gradient of a tensor would be lost."""
    return BackwardTwiceError(
        f"{node.describe()} holds the complete gradient of an earlier backward pass, which nobody "
        "has read, and this pass would replace it: read it first (or let an optimiser step), add "
        "to it by autodiff.backward(..., accumulate=True), or forget it by autodiff.reset(...) of "
        "this tensor; if no gradient of it is wanted, make it Tensor(..., constant=True)"
    )


def twice(node: State) -> BackwardTwiceError:
    """What is raised where a node would push a second time."""
    return BackwardTwiceError(
        f"{node.describe()} has its complete gradient of an earlier backward pass over the same "
        "values; call reset() before another pass, or seed all outputs in one "
        "autodiff.backward({node: gradient, ...})"
    )


def half_finished(node: State) -> IncompleteGradientError:
    """What is raised where two passes would be mixed."""
    return IncompleteGradientError(
        f"an earlier backward pass is unfinished: {waiting_message(node)}; call reset()"
    )
