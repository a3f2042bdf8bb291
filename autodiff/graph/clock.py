"""What has changed since when: ticks, epochs, and what replays have written.

Every assignment and every computed value carries a *tick* of one counter: a value is stale if one
of its inputs has a later tick. An *epoch* ends with every assignment; what was found fresh in
the present epoch need not be looked at again.

A replayed step writes to tensors without touching them: that they have changed is noted only
when somebody looks (:func:`defer`, :func:`settle`).
"""

from __future__ import annotations

import itertools
from typing import Protocol

from autodiff import forks

__all__ = ["defer", "new_epoch", "settle", "ticks"]

ticks = itertools.count(1)
epoch = object()

n_passes = 0
"""How many backward passes have run, and how often a number of a recording's structure was set.

While it stands still, nothing has happened that a recording cannot see; see
:meth:`autodiff.program.step.Recording.holds`.
"""


class Settles(Protocol):
    """Has written to tensors, and can tell them so."""

    def settle(self) -> None:
        """Note what was written; may be called again."""


_unsettled: dict[Settles, None] = {}
_settling: dict[Settles, None] = {}  # taken up, and perhaps left there by an interruption
_lock = forks.new_lock()


def new_epoch() -> int:
    """A tensor was assigned: nothing is known to be fresh. Returns the tick of it."""
    global epoch
    epoch = object()
    return next(ticks)


def note_pass() -> None:
    """Something has happened that a recording cannot see; see :data:`n_passes`."""
    global n_passes
    n_passes += 1


def defer(replayed: Settles) -> None:
    """Call ``replayed.settle()`` before the next look at any graph."""
    _unsettled[replayed] = None


def settle() -> None:
    """Take note of what replayed steps have written."""
    if _unsettled or _settling:
        forks.holding(_lock, _settle)


def _settle() -> None:
    for replayed in list(_unsettled):
        _settling[replayed] = None
        _unsettled.pop(replayed, None)
    for replayed in list(_settling):
        replayed.settle()
        _settling.pop(replayed, None)
