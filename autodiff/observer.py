"""Watching the passes: who is told of every value and gradient that is computed.

Anomaly mode and the recording of steps are observers. They act in one thread or asyncio
task, within a ``with`` block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from autodiff.node import Node

__all__ = ["Observer", "current_observer", "observe"]


class Observer(Protocol):
    """Is told of every step of the passes that run within :func:`observe`."""

    def wants(self, node: Node) -> bool:
        """Whether to compute `node` even though its value is fresh."""

    def forward(self, node: Node, value: Any) -> None:
        """`node` was computed; `value` is not stored yet."""

    def backward(self, node: Node, gradients: Sequence[Any]) -> None:
        """`node` is about to send `gradients` to its inputs (None: nothing is sent)."""

    def assign(self, tensor: Node, value: Any) -> Any:
        """`tensor` is about to be assigned; returns what to store, or None for no opinion."""

    def read(self, tensor: Node) -> Any:
        """The value of `tensor` is asked for; returns what to hand out, None: the value."""


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Tell `observer` of all that is computed within a ``with`` block, in this thread."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def current_observer() -> Observer | None:
    """The observer in force, if any."""
    return _observer.get()
