# What must be put back whatever happens: a lock, garbage collection. In Cython, where no signal comes
# between the lines: an interruption cannot leave the one held, or the other off.

import gc
import threading

cdef set paused_by = set()  # threads that have turned the collection off


def holding(lock, function):
    """function(), while `lock` is held."""
    lock.acquire()
    try:
        return function()
    finally:
        lock.release()


def without_collection(function):
    """function(), without garbage collection, which would look again and again at all it makes.

    (An LSTM of 1000 steps is recorded in half the time.)
    """
    if not gc.isenabled():
        return function()
    thread = threading.get_ident()
    paused_by.add(thread)
    gc.disable()
    try:
        return function()
    finally:
        gc.enable()
        paused_by.discard(thread)


def _collect_in_child():
    """Go on collecting, if it was a thread that no longer exists that turned it off."""
    thread = threading.get_ident()
    if paused_by and thread not in paused_by:
        gc.enable()
    paused_by.intersection_update({thread})


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_collect_in_child)
