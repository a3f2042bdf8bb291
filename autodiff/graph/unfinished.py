"""What interruptions leave: passes half done, and gradients that nobody will read.

A backward pass changes many nodes one by one. Ctrl-C can come between any two lines of it, those of
its clean-up included. Therefore each pass says how to undo it before it begins, and takes that
back after it has ended; whatever is then found of a pass that no longer runs is undone.

A gradient that nobody has read must not be lost to the next pass. But if the function that ran the
pass was left by an exception, nobody is waiting for it: so the frame of that function is kept until
one of its gradients is read.
"""

from __future__ import annotations

import dis
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Protocol

from autodiff.refusal import is_of_package

__all__ = [
    "HoldsUnread",
    "Unread",
    "begin",
    "end",
    "leave_unread",
    "let_functions_go",
    "note_read",
    "undo",
]

_numbers = itertools.count()
_under_way: dict[int, tuple[FrameType, int, Callable[[], None]]] = {}


def begin(undo: Callable[[], None]) -> int:
    """The caller's function begins a pass, which `undo` would undo. Returns what `end` takes."""
    let_functions_go()
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
    here = thread == threading.get_ident()
    frame = sys._getframe(1) if here else sys._current_frames().get(thread)
    while frame is not None:
        if frame is wanted:
            return True
        frame = frame.f_back
    return False


class Unread:
    """The gradients of one pass that nobody has read; their tensors hold it.

    It holds the frame of the function of the user's that ran the pass, until that is known to have
    gone on: one of the gradients was read, or it has returned.
    """

    __slots__ = ("__weakref__", "_frame", "_interrupted", "_thread")

    def __init__(self, frame: FrameType | None) -> None:
        self._thread = threading.get_ident()
        self._interrupted = False
        self._frame = frame
        if frame is not None:
            _waiting[id(self)] = weakref.ref(self)

    def let_go(self) -> None:
        """The function has gone on, or was left: what it holds need not be held any longer."""
        self._frame = None
        _waiting.pop(id(self), None)

    def is_interrupted(self) -> bool:
        """Whether an exception has left the function that ran the pass, or one that called it."""
        frame = self._frame
        while frame is not None and not _is_running(frame, self._thread):
            if not _has_returned(frame):
                self._interrupted = True
                break
            frame = frame.f_back
        if frame is not self._frame:
            self._frame = frame  # the callers are still to be asked
        if frame is None or self._interrupted:
            self.let_go()
        return self._interrupted


_waiting: dict[int, weakref.ref[Unread]] = {}  # those with frames


class HoldsUnread(Protocol):
    """What may hold a gradient that nobody has read: a tensor."""

    unread: Unread | None


def let_functions_go() -> None:
    """Hold no longer what functions hold that have run a pass, and have ended since."""
    if not _waiting:
        return
    for number, reference in list(_waiting.items()):
        unread = reference()
        if unread is None:
            _waiting.pop(number, None)
        else:
            unread.is_interrupted()


def note_read(tensors: Sequence[HoldsUnread]) -> None:
    """The gradients of these tensors were read, or are no longer wanted."""
    passes = {tensor.unread for tensor in tensors}
    for tensor in tensors:
        tensor.unread = None
    for unread in passes:
        if unread is not None:
            unread.let_go()


def _has_returned(frame: FrameType) -> bool:
    """Of a frame that does not run: whether it has returned, or waits for its turn."""
    name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
    return name.startswith(("RETURN", "YIELD", "SEND"))


def leave_unread(tensors: Sequence[HoldsUnread], *, recorded: bool) -> None:
    """A pass is over that has given these tensors their gradients.

    recorded : it belongs to a recording, which nothing outlives.
    """
    frame: FrameType | None = None
    if not recorded:
        frame = sys._getframe(1)
        while frame is not None and is_of_package(frame):
            frame = frame.f_back
    unread = Unread(frame)
    for tensor in tensors:
        tensor.unread = unread
