"""From flat code to something that can be called: the executor in C, or the emulator."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

from autodiff.node import Tensor
from autodiff.program.emulate import Emulator
from autodiff.program.lower import Code

__all__ = ["Executor", "load"]


class Executor(Protocol):
    """A loaded program."""

    def __call__(self, *arguments: Any) -> Sequence[Any]:
        """Run once."""
        ...

    def scan(self, n_steps: int, *stacked: Any) -> Sequence[Any]:
        """Run for each index of the leading axis of all arguments."""
        ...

    def profile(self, repeats: int, *arguments: Any) -> Sequence[float]:
        """Nanoseconds of each instruction."""
        ...


_loading = threading.Lock()
_locks: weakref.WeakKeyDictionary[Tensor, Any] = weakref.WeakKeyDictionary()


def load(code: Code, tensors: Sequence[Tensor]) -> Executor:
    """Load `code`, which reads and writes the buffers of `tensors`.

    Programs that share a tensor share a lock: they never run at the same time.
    """
    try:
        from autodiff import _core
    except ImportError:
        return Emulator(code)
    with _loading:
        lock = next((_locks[t] for t in tensors if t in _locks), None) or _core.Lock()
        for tensor in tensors:
            _locks.setdefault(tensor, lock).join(lock)
    return _core.Program(
        code.arena_size, code.arguments, code.buffers, code.instructions, code.results, lock
    )
