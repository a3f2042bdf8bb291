"""Watching the passes: who is told of every value and gradient that is computed.

Anomaly mode and the recording of steps are observers. They act in one thread or asyncio
task, within a ``with`` block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from autodiff.backend import Backend
from autodiff.errors import RecordingError
from autodiff.graph.state import State

__all__ = [
    "Observer",
    "Watching",
    "current_observer",
    "escaped",
    "here",
    "in_force",
    "missing",
    "observe",
]

StateT = TypeVar("StateT", bound=State)


class Observer(Protocol):
    """Is told of every step of the passes that run within :func:`observe`."""

    @property
    def home(self) -> Any:
        """The recording that nodes made meanwhile belong to; None: to nobody."""

    @property
    def backend(self) -> Backend | None:
        """Executes whatever is computed meanwhile; None: the back end that is in force."""

    @property
    def conditions(self) -> list[Callable[[], bool]]:
        """What must hold of the world outside for a recording to be true."""

    def suspended(self) -> bool:
        """Whether what runs now is none of its business: a signal handler."""

    def here(self, node: StateT) -> StateT:
        """The node to work on in place of `node`: in a recording, its stand-in."""

    def forward(self, node: State, value: Any) -> None:
        """`node` was computed; `value` is not stored yet."""

    def backward(self, node: State, gradients: Sequence[Any], sums: Mapping[State, Any]) -> None:
        """`node` is about to send `gradients` to its inputs (None: nothing is sent).

        sums : the gradients that the pass has summed so far; that of `node` is complete.
        """

    def assign(self, tensor: State, value: Any) -> Any:
        """`tensor` is about to be assigned; returns what to store, or None for no opinion."""

    def missing(self, node: State, what: str) -> None:
        """The "value" or "gradient" of `node`, which it does not have, is asked for."""

    def begins_sum(self, tensor: State, accumulate: bool) -> None:
        """The first gradient of a pass comes to `tensor`; `accumulate`: the old one is added."""


class Watching:
    """An observer that only looks on."""

    home: Any = None
    backend: Backend | None = None
    conditions: list[Callable[[], bool]]

    def suspended(self) -> bool:
        """Never."""
        return False

    def here(self, node: StateT) -> StateT:
        """The node itself."""
        if node.home is not None:
            raise escaped(node)
        return node

    def forward(self, node: State, value: Any) -> None:
        """Nothing."""

    def backward(self, node: State, gradients: Sequence[Any], sums: Mapping[State, Any]) -> None:
        """Nothing."""

    def assign(self, tensor: State, value: Any) -> Any:
        """No opinion."""
        return None

    def missing(self, node: State, what: str) -> None:
        """Nothing."""

    def begins_sum(self, tensor: State, accumulate: bool) -> None:
        """Nothing."""


in_force: ContextVar[Observer | None] = ContextVar("observer", default=None)
"""The observer of this thread or task; it may be suspended, see :func:`current_observer`."""


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Tell `observer` of all that is computed within a ``with`` block, in this thread."""
    token = in_force.set(observer)
    try:
        yield
    finally:
        in_force.reset(token)


def current_observer() -> Observer | None:
    """The observer in force, if any."""
    observer = in_force.get()
    return None if observer is None or observer.suspended() else observer


def here(node: StateT) -> StateT:
    """The node to work on in place of `node`: in a recording its stand-in, else itself.

    Raises RecordingError if it belongs to a recording that is over, or to another thread's.
    """
    observer = current_observer()
    if observer is not None:
        return observer.here(node)
    if node.home is not None:
        raise escaped(node)
    return node


def escaped(node: State) -> RecordingError:
    """What is raised for a node that was made in a recording, and is used elsewhere."""
    return RecordingError(
        f"{node.describe()} was made while {node.home} was recorded: it has a shape but no "
        "numbers, and means nothing outside it. Return its value from the step to see it; "
        "what lasts from step to step is a Tensor made outside, and assigned"
    )


def missing(node: State, what: str) -> None:
    """Tell the observer that `node` has not got the value or gradient asked for; it may refuse."""
    observer = current_observer()
    if observer is not None:
        observer.missing(node, what)
