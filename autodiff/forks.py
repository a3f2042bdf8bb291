"""What the child of a fork must put right: only one thread lives on in it.

A lock that another thread held would be held for ever, and what that thread was about to say
to the graph will never be said. (Programs that run are waited for before the fork, see
`csrc/lock.pxi`; workers are started anew, see `csrc/threads.c`.)
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["holding", "new_lock", "tell_children"]

try:
    from autodiff._core import holding
except ImportError:
    ResultT = TypeVar("ResultT")

    def holding(lock: Any, function: Callable[[], ResultT]) -> ResultT:
        """function(), while `lock` is held."""
        with lock:
            return function()


_locks: weakref.WeakSet[Any] = weakref.WeakSet()
_told: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()


def new_lock() -> threading.RLock:
    """A reentrant lock that is free in a child, unless the thread that forked holds it."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def tell_children(owner: Any, call: Callable[[Any], object]) -> None:
    """Call ``call(owner)`` in each child, if `owner` lives then."""
    _told[owner] = call


def _in_child() -> None:
    for lock in tuple(_locks):
        if not lock._is_owned():
            lock._at_fork_reinit()
    for owner, call in tuple(_told.items()):
        call(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
