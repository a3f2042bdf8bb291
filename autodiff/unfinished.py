"""Passes that were interrupted, even while they tidied up: undone before anybody looks.

A backward pass changes many nodes one by one. Ctrl-C can come between any two lines of it, those of
its clean-up included. Therefore each pass says how to undo it before it begins, and takes that
back after it has ended; whatever is then found of a pass that no longer runs is undone.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from types import FrameType

__all__ = ["begin", "end", "undo"]

_numbers = itertools.count()
_under_way: dict[int, tuple[FrameType, int, Callable[[], None]]] = {}


def begin(undo: Callable[[], None]) -> int:
    """The caller's function begins a pass, which `undo` would undo. Returns what `end` takes."""
    number = next(_numbers)
    _under_way[number] = sys._getframe(1), threading.get_ident(), undo
    return number


def end(number: int) -> None:
    """The pass has ended, or was undone."""
    _under_way.pop(number, None)


def undo() -> None:
    """Undo the passes that have ended without a word."""
    if not _under_way:
        return
    for number, (frame, thread, undo_it) in list(_under_way.items()):
        if not _is_running(frame, thread):
            undo_it()
            end(number)


def _is_running(wanted: FrameType, thread: int) -> bool:
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame is wanted:
            return True
        frame = frame.f_back
    return False
