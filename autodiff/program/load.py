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

    def scan(
        self, n_steps: int, *stacked: Any, before: Any = None, after: Any = None
    ) -> Sequence[Any]:
        """Run for each index of the leading axis of all arguments.

        before, after : loaded programs without arguments and results, which are run whenever
            others may have looked at the tensors, and whenever they may look again.
        """
        ...

    def profile(self, repeats: int, *arguments: Any) -> Sequence[float]:
        """Nanoseconds of each instruction."""
        ...


_loading = threading.Lock()
_locks: dict[_Identity, Any] = {}


class _Identity(weakref.ref[Tensor]):
    """A weak key: the tensor itself, whatever `==` says of tensors."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Identity) and self() is other() is not None)

    __hash__ = weakref.ref.__hash__


def _forget(key: _Identity) -> None:
    _locks.pop(key, None)


def load(code: Code, tensors: Sequence[Tensor] = (), *, beside: Executor | None = None) -> Executor:
    """Load `code`, which reads and writes the buffers of `tensors`.

    Programs that share a tensor share a lock: they never run at the same time.

    beside : a loaded program with whose tensors this one works.
    """
    try:
        from autodiff import _core
    except ImportError:
        return Emulator(code)
    with _loading:
        if isinstance(beside, _core.Program):
            lock = beside.lock
        else:
            found = (_locks.get(_Identity(t)) for t in tensors)
            lock = next((x for x in found if x is not None), None) or _core.Lock()
        for tensor in tensors:
            _locks.setdefault(_Identity(tensor, _forget), lock).join(lock)
    return _core.Program(
        code.arena_size, code.arguments, code.buffers, code.instructions, code.results, lock
    )
