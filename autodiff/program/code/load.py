"""From flat code to something that can be called: the executor in C, or the emulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from autodiff import forks
from autodiff.graph.node import Tensor
from autodiff.program.code.emulate import Emulator
from autodiff.program.code.flat import Code

__all__ = ["Executor", "load", "without_collection"]

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
    if isinstance(beside, _core.Program):
        first: Any = beside.lock
    else:
        first = next((t._lock for t in tensors if t._lock is not None), None) or _core.Lock()

    def share() -> None:
        for tensor in tensors:
            if tensor._lock is None:
                tensor._lock = first
            else:
                tensor._lock.join(first)

    forks.holding(_loading, share)
    return _core.Program(
        code.arena_size, code.arguments, code.buffers, tuples(code), code.results, first
    )


def tuples(code: Code) -> list[tuple[Any, ...]]:
    """Today's tuples. (Goes when the loader reads words.)"""
    return [_tuple(i) for i in code.instructions]


def _tuple(i: Any) -> tuple[Any, ...]:
    if i.name == "map":
        windows = [(w.place, w.strides, True) if w.padded else w[:2] for w in i.windows]
        micros = []
        for op, refs, z in i.applications:
            refs = [*refs, None, None, None][:3]
            if op == "power":
                refs = [refs[0], None, refs[1]]
            micros.append((op, *refs, z))
        return "run", i.shape, windows, micros
    fields = {f.name: getattr(i, f.name) for f in dataclasses.fields(i)}
    if i.name == "gemm":
        fields["alpha"] = fields["alpha"], fields.pop("scale")
    name = fields.pop("op", i.name)
    return name, *fields.values()
