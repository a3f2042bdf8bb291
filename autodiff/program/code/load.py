"""From flat code to something that can be called: the executor in C, or the emulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from autodiff import forks
from autodiff.graph.node import Tensor
from autodiff.program.code.emulate import Emulator
from autodiff.program.code.flat import Code
from autodiff.program.code.words import to_words

__all__ = ["Executor", "load", "program_of", "without_collection"]

ResultT = TypeVar("ResultT")


class Executor(Protocol):
    """A loaded program."""

    def __call__(self, *arguments: Any) -> Sequence[Any]:
        """Run once."""
        ...

    def scan(
        self, n_steps: int, *stacked: Any, n_fixed: int = 0, before: Any = None, after: Any = None
    ) -> Sequence[Any]:
        """Run for each index of the leading axis of all arguments, but the last `n_fixed`.

        before, after : loaded programs without arguments and results, which are run whenever
            others may have looked at the tensors, and whenever they may look again.
        """
        ...

    def profile(self, repeats: int, *arguments: Any) -> Sequence[float]:
        """Nanoseconds of each instruction."""
        ...


_loading = forks.new_lock()


def without_collection(function: Callable[[], ResultT]) -> ResultT:
    """function(), without garbage collection, if the extension is there to turn it on again."""
    try:
        from autodiff import _core
    except ImportError:
        return function()
    return _core.without_collection(function)


def load(code: Code, tensors: Sequence[Tensor] = (), *, beside: Executor | None = None) -> Executor:
    """Load `code`, which reads and writes the buffers of `tensors`.

    Programs that share a tensor share a lock: they never run at the same time.

    beside : a loaded program with whose tensors this one works.
    """
    try:
        from autodiff import _core
    except ImportError:
        return Emulator(code)
    if isinstance(beside, _core.Executor):
        first: Any = beside.lock
    else:
        first = next((t.lock for t in tensors if t.lock is not None), None) or _core.Lock()

    def share() -> None:
        for tensor in tensors:
            if tensor.lock is None:
                tensor.lock = first
            else:
                tensor.lock.join(first)

    forks.holding(_loading, share)
    return program_of(code, first)


def program_of(code: Code, lock: Any = None) -> Executor:
    """The executor in C of `code`, with this lock or one of its own."""
    from autodiff import _core

    return _core.Executor(to_words(code), code.buffers, code.functions, lock)
