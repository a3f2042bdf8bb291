"""Ctrl-C for tests: it comes when what it shall interrupt has begun."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def interrupted_when(begun: Callable[[], bool]) -> Iterator[None]:
    """Ctrl-C comes once ``begun()``, which another thread asks; it must end the block.

    Not later than that: it has a second for it.
    """
    main, over = threading.main_thread().ident, threading.Event()
    assert main is not None
    sent: list[float] = []

    def send() -> None:
        deadline = time.monotonic() + 60.0
        while not begun():
            if over.wait(0.001) or time.monotonic() > deadline:
                return
        sent.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        over.set()
        thread.join()
    assert time.monotonic() - sent[0] < 1.0
