"""Signal handlers: they run in the middle of a recording, and have nothing to do with it.

Python calls a handler from wherever the main thread is, in the same context. It is known by its
arguments: the number of the signal, and the frame that was interrupted, which is its own caller.
"""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from types import CodeType, FrameType

__all__ = ["has_handlers", "in_handler"]


def has_handlers() -> bool:
    """Whether a signal may call a function, other than the one that raises KeyboardInterrupt."""
    return any(
        callable(handler) and handler is not signal.default_int_handler
        for handler in map(signal.getsignal, signal.valid_signals())
    )


def in_handler(outermost: CodeType) -> bool:
    """Whether a signal handler is running that interrupted what `outermost` has called."""
    if threading.current_thread() is not threading.main_thread():
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not outermost:
        if _is_handler(frame):
            return True
        frame = frame.f_back
    return False


def _is_handler(frame: FrameType) -> bool:
    code, caller = frame.f_code, frame.f_back
    variadic = bool(code.co_flags & 0x04)  # *arguments
    if caller is None or (code.co_argcount < 2 and not variadic):
        return False
    n_named = code.co_argcount + code.co_kwonlyargcount
    values = [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount]]
    if variadic:
        values += frame.f_locals.get(code.co_varnames[n_named], ())
    return any(
        isinstance(number, int) and interrupted is caller
        for number, interrupted in itertools.pairwise(values)
    )
